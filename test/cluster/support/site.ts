import { until } from '../../api/harness/until.ts'
import { resource, toolFile } from '../../api/support/resource.ts'
import type { TellingModel } from '../../api/support/telling-model.ts'
import type { ClusterNode } from '../harness/node.ts'
import { NETWORK } from '../harness/setup/layout.ts'
import { type Installation, openInstallation } from './install.ts'
import { configMap, SCRIPTED, shows } from './objects.ts'
import { readyPods } from './pods.ts'
import { ask, type Line, lineTo } from './talk.ts'

/** An installation with one AgentRuntime, `default`, and its agents; agent `told` answers as the model does. */
export interface Site extends Installation {
  /** The runtime's Service: whoever calls stays with one pod. */
  readonly line: Line
  /** A Service of the same pods that spreads its calls over them. */
  readonly spread: Line
}

export const PLACE = { runtime: 'default' } as const

/** Agent `support` has a prompt and a tool of ConfigMap `files`; both say the version that they are. */
export const filesOf = (version: string): Readonly<Record<string, string>> => ({
  'weather.tool.ts': toolFile(`a tool of version ${version}`),
  'support.prompt.md': `You are version ${version}\n\nBe brief and exact.\n`,
})

export const manyName = (number: number): string => `many-${number}`
/** Agents `many-0` and on answer their name and version. */
export const manySpec = (number: number, version: string) => ({ instructions: `${manyName(number)} ${version}` })

export type SiteOptions = { readonly replicas: number; readonly many: number; readonly drainSeconds?: number }

/** Resolves when all of it is served. */
export async function openSite(node: ClusterNode, options: SiteOptions): Promise<Site> {
  const installation = await openInstallation(node)
  try {
    const { team, model } = installation
    await declare(node, team, model, options)
    const line = await lineTo(node, team, 'default')
    const spread = await spreadLine(node, line, { namespace: team, ...PLACE, path: 'agents/support' })
    return { ...installation, line, spread }
  } catch (error) {
    await installation[Symbol.asyncDispose]()
    throw error
  }
}

async function declare(node: ClusterNode, team: string, model: TellingModel, options: SiteOptions): Promise<void> {
  const { replicas, many, drainSeconds = 30 } = options
  const telling = { name: 'telling', provider: 'openai-compatible', model: 'x', baseURL: model.url }
  const spec = {
    ...{ replicas, drainSeconds, models: [SCRIPTED, telling] },
    network: { allow: [NETWORK.address] },
    bundles: [{ name: 'files', configMap: 'files' }],
  }
  await node.apply(configMap(team, 'files', filesOf('0.')))
  await node.apply(resource('AgentRuntime', team, 'default', spec))
  const agents = {
    support: { prompt: { bundle: 'files', file: 'support.md' }, tools: ['weather'] },
    told: { instructions: 'told', model: 'telling' },
    ...Object.fromEntries(Array.from({ length: many }, (_, n) => [manyName(n), manySpec(n, '0.')])),
  }
  for (const [name, each] of Object.entries(agents)) await node.apply(resource('Agent', team, name, each))
  await readyPods(node, { namespace: team, ...PLACE }, replicas)
  for (const name of Object.keys(agents)) await shows(node, { kind: 'Agent', namespace: team, name })
}

export type Spread = {
  readonly namespace: string
  readonly runtime: string
  /** Of an agent that answers. */
  readonly path: string
}

/** A Service of an AgentRuntime's pods that spreads its calls over them; resolves when an agent answers over it. */
export async function spreadLine(node: ClusterNode, line: Line, { namespace, runtime, path }: Spread): Promise<Line> {
  const name = `${runtime}-spread`
  const spec = { selector: { 'midflight.dev/runtime': runtime }, ports: [{ port: 7777, targetPort: 'http' }] }
  await node.apply({ apiVersion: 'v1', kind: 'Service', metadata: { namespace, name }, spec })
  type Service = { readonly spec: { readonly clusterIP: string } }
  const service = await node.call<Service>('GET', `/api/v1/namespaces/${namespace}/services/${name}`)
  const url = `http://${service.spec.clusterIP}:7777`
  let last: unknown
  // Its rules are written by kube-proxy a moment later.
  const isRouted = async () => {
    const answer = await ask({ ...line, url }, path).catch((error: unknown) => {
      last = error
    })
    return answer !== undefined
  }
  await until(`Service ${name} is routed`, isRouted, 60_000).catch((error: unknown) => {
    throw new Error(String(error), { cause: last })
  })
  return { ...line, url }
}

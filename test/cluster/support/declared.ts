import { request } from 'undici'
import { resource } from '../../api/support/resource.ts'
import type { ClusterNode } from '../harness/node.ts'
import { OPERATOR_LABELS } from './install.ts'
import { type Load, startLoad } from './load.ts'
import { type Named, read, SCRIPTED, shows } from './objects.ts'
import { type RuntimePod, readyPods, runtimePods } from './pods.ts'
import { spreadLine } from './site.ts'
import { type Line, lineTo, lineToPod, tryAsk } from './talk.ts'

/** An AgentRuntime, and an agent of the same name that it serves. */
export interface Declared {
  readonly runtime: Named
  readonly agent: Named
  /** A run of the agent. */
  readonly path: string
  /** The runtime's Service: whoever calls stays with one pod. */
  readonly line: Line
  /** A Service of the same pods that spreads its calls over them. */
  readonly spread: Line
  /** Leaving ones too. */
  pods(): Promise<readonly RuntimePod[]>
  /** Waits until there are so many, all of them ready. */
  ready(count: number, ms?: number): Promise<readonly RuntimePod[]>
  /** What each pod that does not leave answers. */
  answers(message?: string): Promise<readonly string[]>
  /** Streamed runs of the agent at a steady rate, over `spread` unless told otherwise. */
  load(options?: { readonly perSecond?: number; readonly lines?: readonly Line[] }): Load
}

export type DeclaredOptions = {
  readonly namespace: string
  readonly name: string
  /** Beside the model, which answers the first line of the instructions. */
  readonly spec?: Readonly<Record<string, unknown>>
  /** Default: it says its name. */
  readonly agent?: Readonly<Record<string, unknown>>
}

/** Resolves when the agent is Ready and every pod serves it. */
export async function declare(node: ClusterNode, options: DeclaredOptions): Promise<Declared> {
  const { namespace, name, spec = {}, agent: fields = { instructions: name } } = options
  const place = { namespace, runtime: name }
  const runtime: Named = { kind: 'AgentRuntime', namespace, name }
  const agent: Named = { kind: 'Agent', namespace, name }
  const whole = { replicas: 1, drainSeconds: 5, models: [SCRIPTED], ...spec }
  await node.apply(resource('AgentRuntime', namespace, name, whole))
  await node.apply(resource('Agent', namespace, name, { runtime: name, ...fields }))
  await readyPods(node, place, whole.replicas)
  await shows(node, agent)
  await shows(node, runtime)
  const line = await lineTo(node, namespace, name)
  const path = `agents/${name}`
  const spread = await spreadLine(node, line, { ...place, path })
  const pods = () => runtimePods(node, namespace, name)
  return {
    ...{ runtime, agent, path, line, spread, pods },
    ready: (count, ms) => readyPods(node, place, count, ms),
    answers: async (message) => {
      const staying = (await pods()).filter(({ isLeaving }) => !isLeaving)
      return Promise.all(staying.map((pod) => tryAsk(lineToPod(line, pod), path, message)))
    },
    load: ({ perSecond = 10, lines = [spread] } = {}) =>
      startLoad({
        ...{ lines, perSecond, newConnectionEvery: 3 },
        runs: [{ path, message: 'hello', isRight: (answer) => answer !== '' }],
      }),
  }
}

type Ready = { readonly type: string; readonly status: string; readonly lastTransitionTime?: string }

/** Whether the object is Ready, and since when: the same again where that did not flip meanwhile. */
export async function readiness(node: ClusterNode, named: Named): Promise<string> {
  const { status } = await read(node, named)
  const conditions: readonly Ready[] = status?.conditions ?? []
  const ready = conditions.find(({ type }) => type === 'Ready')
  return `${ready?.status} since ${ready?.lastTransitionTime}`
}

/** The values of a metric of the operators that run now, one for each set of labels, which is a part of its key. */
export async function operatorMetric(
  node: ClusterNode,
  namespace: string,
  name: string,
): Promise<ReadonlyMap<string, number>> {
  type Pods = { readonly items: readonly { readonly status: { readonly podIP?: string } }[] }
  const query = `labelSelector=${encodeURIComponent(OPERATOR_LABELS)}`
  const { items } = await node.call<Pods>('GET', `/api/v1/namespaces/${namespace}/pods?${query}`)
  const sums = new Map<string, number>()
  for (const { status } of items) {
    if (status.podIP === undefined) continue
    for (const [labels, value] of await seriesAt(`http://${status.podIP}:8080/metrics`, name))
      sums.set(labels, (sums.get(labels) ?? 0) + value)
  }
  return sums
}

/** What a page of metrics says of one, by its labels as they stand there. @throws Error where it is not answered */
export async function seriesAt(url: string, name: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await request(url)).body.text()
  const lines = text.matchAll(new RegExp(String.raw`^${name}(?:\{(.*)\})? (\S+)$`, 'gm'))
  return new Map([...lines].map(([, labels = '', value]) => [labels, Number(value)]))
}

import type { Cluster } from '../../harness/index.ts'
import { resource, SCRIPTED } from '../resource.ts'
import { type PodRuntime, TOKEN } from '../runtimes/in-process.ts'

/** What of an AgentRuntime's spec differs from a plain one with a scripted model that answers the first line of its instructions. */
export type AdoptOptions = {
  readonly name?: string
  readonly spec?: object
  readonly labels?: Readonly<Record<string, string>>
}

/** A namespace with a pod for each runtime, the Secret with their token, and an AgentRuntime that adopts them. */
export async function adopt(
  cluster: Cluster,
  namespace: string,
  runtimes: readonly Pick<PodRuntime, 'host' | 'managementPort'>[],
  { name = 'default', spec = {}, labels = { app: 'runtime' } }: AdoptOptions = {},
): Promise<void> {
  await cluster.makeNamespace(namespace)
  const metadata = { namespace, name: 'management' }
  await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: { token: TOKEN } })
  for (const [index, { host }] of runtimes.entries())
    await cluster.makePod({ namespace, name: `runtime-${index}`, labels, ip: host, ready: true })
  const port = runtimes[0]?.managementPort ?? 7778
  const adopted = { selector: { matchLabels: labels }, port, tokenSecretRef: { name: 'management', key: 'token' } }
  await cluster.apply(resource('AgentRuntime', namespace, name, { adopt: adopted, models: [SCRIPTED], ...spec }))
}

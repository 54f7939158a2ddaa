import { KINDS, type Kind } from '../../../src/api/index.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import type { Cluster } from '../harness/index.ts'

export const resource = (kind: string, namespace: string, name: string, spec: object) => ({
  apiVersion: 'midflight.dev/v1alpha1',
  kind,
  metadata: { namespace, name },
  spec,
})

export type Conditioned = {
  readonly metadata: { readonly generation: number; readonly resourceVersion: string }
  readonly status?: {
    readonly observedGeneration?: number
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason: string
      readonly message: string
    }[]
    readonly [field: string]: unknown
  }
}

/** A resource as the API server has it. */
export function read(cluster: Cluster, plural: string, namespace: string, name: string): Promise<Conditioned> {
  const path = `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/${plural}/${name}`
  return cluster.call<Conditioned>('GET', path)
}

/** `Ready=True/Served`, for the generation that the object has now; what is said of an older one is `Ready=?`. */
export function told({ metadata, status }: Conditioned, type = 'Ready'): string {
  const condition = status?.conditions?.find((each) => each.type === type)
  if (condition === undefined || status?.observedGeneration !== metadata.generation) return `${type}=?`
  return `${type}=${condition.status}/${condition.reason}`
}

export type WatchedVersion = {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: KubeObject & Conditioned
}

/** Every version of the objects of a kind since a resourceVersion, as a watch shows them. Takes a second. */
export async function versionsSince(
  cluster: Cluster,
  { namespace, kind }: { readonly namespace: string; readonly kind: Kind },
  resourceVersion: string,
): Promise<readonly WatchedVersion[]> {
  const query = `watch=1&resourceVersion=${resourceVersion}&timeoutSeconds=1`
  const path = `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/${KINDS[kind].plural}?${query}`
  const lines = await cluster.call<string | object>('GET', path)
  // A watch of one event is one JSON document.
  if (typeof lines !== 'string') return [lines as WatchedVersion]
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as WatchedVersion)
}

/** A model that answers the first line of its instructions. */
export const SCRIPTED = { name: 'default', provider: 'scripted', script: [{ match: '.*', reply: '{{instructions}}' }] }

/** A tool file that answers a text. */
export const toolFile = (text: string): string =>
  `export default { description: 'answers', execute: () => ${JSON.stringify(text)} }\n`

/** A model that calls tool `weather` when it is asked about it, and else answers the first line of its instructions. */
export const WEATHER_MODEL = {
  name: 'default',
  provider: 'scripted',
  script: [
    { match: 'weather', call: { tool: 'weather', arguments: {} } },
    { match: '.*', reply: '{{instructions}}' },
  ],
}

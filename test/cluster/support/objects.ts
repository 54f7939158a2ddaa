import { KINDS, type Kind } from '../../../src/api/index.ts'
import type { Manifest } from '../../api/harness/index.ts'
import { until } from '../../api/harness/until.ts'
import { type Conditioned, told } from '../../api/support/resource.ts'
import type { ClusterNode } from '../harness/node.ts'

/** What these helpers ask of a node. */
export type Api = Pick<ClusterNode, 'call' | 'request' | 'apply'>

export type Named = { readonly kind: Kind; readonly namespace: string; readonly name: string }

/** A model that answers the first line of the agent's instructions, and with `weather` in a message what tool `weather` says. */
export const SCRIPTED = {
  name: 'default',
  provider: 'scripted',
  script: [
    { match: 'weather', call: { tool: 'weather' }, reply: '{{result}}' },
    { match: '.*', reply: '{{instructions}}' },
  ],
}

export const configMap = (namespace: string, name: string, data: Readonly<Record<string, string>>): Manifest => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace, name },
  data,
})

export const secret = (namespace: string, name: string, stringData: Readonly<Record<string, string>>): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { namespace, name },
  stringData,
})

export const pathOf = ({ kind, namespace, name }: Named): string =>
  `/apis/midflight.dev/v1alpha1/namespaces/${namespace}/${KINDS[kind].plural}/${name}`

export const read = (api: Api, named: Named): Promise<Conditioned> => api.call<Conditioned>('GET', pathOf(named))

/** Changes a part of an object's spec, as `kubectl patch --type merge` does; resolves when the server has answered. */
export const patchSpec = (api: Api, named: Named, spec: object): Promise<unknown> =>
  api.call('PATCH', pathOf(named), { spec })

/** @returns whether it was there */
export async function remove(api: Api, named: Named): Promise<boolean> {
  return (await api.request('DELETE', pathOf(named))).status < 300
}

/**
 * Waits until a condition says this of the object's present generation.
 * @param wanted its beginning, as `Ready=False/ModelNotFound`
 * @throws Error with what it says instead
 */
export async function shows(api: Api, named: Named, wanted = 'Ready=True/', ms = 60_000): Promise<Conditioned> {
  const [type] = wanted.split('=', 1)
  let last: Conditioned | undefined
  const saysSo = async () => {
    const answer = await api.request<Conditioned>('GET', pathOf(named))
    if (answer.status !== 200) return undefined
    last = answer.body
    return told(last, type).startsWith(wanted) ? last : undefined
  }
  return until(`${named.kind} ${named.name} says ${wanted}`, saysSo, ms).catch((error: unknown) => {
    throw new Error(
      `${String(error)}; it says ${last ? `${told(last, type)}: ${JSON.stringify(last.status)}` : 'nothing'}`,
    )
  })
}

/** What a condition of the object says to people. */
export const messageOf = (object: Conditioned, type = 'Ready'): string =>
  object.status?.conditions?.find((each) => each.type === type)?.message ?? ''

/** Waits until there is no such object. */
export const isGone = (api: Api, path: string, ms = 60_000): Promise<unknown> =>
  until(`${path} is gone`, async () => (await api.request('GET', path)).status === 404, ms)

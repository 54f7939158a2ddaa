import {
  API_VERSION,
  type ItemId,
  KINDS,
  type Kind,
  RUNNABLE,
  type RunnablePlural,
  SETTINGS_ID,
} from '../../api/index.ts'
import type { ObjectName, ResourceType } from '../../kube/types.ts'

/** `Agent/default/support`: an object of any kind, as queues name it. */
export const itemKey = (kind: Kind, { namespace = '', name }: ObjectName): string => `${kind}/${namespace}/${name}`

export function parseItemKey(key: string): { readonly kind: Kind; readonly name: ObjectName } {
  const [kind, namespace, name = ''] = key.split('/')
  return { kind: kind as Kind, name: { namespace: namespace === '' ? undefined : namespace, name } }
}

const KIND_OF = Object.fromEntries(Object.entries(RUNNABLE).map(([kind, plural]) => [plural, kind])) as Record<
  RunnablePlural,
  Kind
>

/** The object behind an item of an AgentRuntime. */
export function objectOfItem(id: ItemId, runtime: ObjectName): { readonly kind: Kind; readonly name: ObjectName } {
  const [plural, name] = id.split('/')
  if (id === SETTINGS_ID || name === undefined) return { kind: 'AgentRuntime', name: runtime }
  return { kind: KIND_OF[plural as RunnablePlural], name: { namespace: runtime.namespace, name } }
}

const [GROUP = '', VERSION = ''] = API_VERSION.split('/')

/** How the API server serves each kind. */
export const RESOURCE_TYPES = Object.fromEntries(
  Object.entries(KINDS).map(([kind, { plural }]) => [
    kind,
    { group: GROUP, version: VERSION, plural, kind, namespaced: true },
  ]),
) as unknown as Readonly<Record<Kind, ResourceType>>

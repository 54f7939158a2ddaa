import type { KubeObject, ObjectKey } from '../../kube/types.ts'
import { keyOf } from '../../kube/types.ts'

/** Pods that an AgentRuntime selects. */
export type Selection = {
  readonly runtime: KubeObject
  readonly pods: readonly KubeObject[]
  /** The operator runs them for it: they are nobody else's, however old. */
  readonly isManaged?: boolean
}

export type Claims = {
  /** Pods that belong to an AgentRuntime, by its key. */
  readonly owned: ReadonlyMap<ObjectKey, readonly KubeObject[]>
  /** Names of pods that it selects and that belong to an older one. */
  readonly lost: ReadonlyMap<ObjectKey, readonly string[]>
}

/**
 * Which AgentRuntime each pod of a namespace belongs to: the one that it is run for, else the oldest that selects it, of
 * equal age the first by name. One that is being deleted has what no other selects.
 */
export function claimPods(selections: readonly Selection[]): Claims {
  const owners = new Map<string, ObjectKey>()
  const owned = new Map<ObjectKey, KubeObject[]>()
  const lost = new Map<ObjectKey, string[]>()
  for (const { runtime, pods } of [...selections].sort(byAge)) {
    const key = keyOf(runtime)
    const mine = pods.filter((pod) => !owners.has(podId(pod)))
    for (const pod of mine) owners.set(podId(pod), key)
    owned.set(key, mine)
    lost.set(
      key,
      pods.filter((pod) => owners.get(podId(pod)) !== key).map(({ metadata }) => metadata.name),
    )
  }
  return { owned, lost }
}

const podId = ({ metadata }: KubeObject): string => metadata.uid ?? keyOf({ apiVersion: 'v1', kind: 'Pod', metadata })

function byAge(a: Selection, b: Selection): number {
  const [one, other] = [a.runtime.metadata, b.runtime.metadata]
  const managed = Number(b.isManaged === true) - Number(a.isManaged === true)
  if (managed !== 0) return managed
  const leaving = Number(one.deletionTimestamp !== undefined) - Number(other.deletionTimestamp !== undefined)
  if (leaving !== 0) return leaving
  const age = (one.creationTimestamp ?? '').localeCompare(other.creationTimestamp ?? '')
  return age === 0 ? one.name.localeCompare(other.name) : age
}

/** How an AgentRuntime signs what it writes to a pod. The uid tells it from a later one of the same name. */
export const claimOf = ({ metadata: { namespace, name, uid } }: KubeObject): string => `${namespace}/${name}/${uid}`

/** What an AgentRuntime signs with. */
export type Claim = { readonly namespace: string; readonly name: string; readonly uid: string }

/** A claim that an AgentRuntime made; undefined for anybody else's. */
export function parseClaim(claim: string): Claim | undefined {
  const [namespace, name, uid, ...rest] = claim.split('/')
  return namespace && name && uid && rest.length === 0 ? { namespace, name, uid } : undefined
}

import type { KubeObject } from '../../kube/types.ts'

/** What is known of an object by name. */
export type ObjectView =
  /** Nothing yet, but it soon will be: nothing must be concluded. */
  | { readonly type: 'loading' }
  /** @param sinceMs when it went, in milliseconds since 1970; absent when it was not there before either */
  | { readonly type: 'missing'; readonly sinceMs?: number }
  | ({ readonly type: 'found' } & FoundObject)

export type FoundObject = {
  readonly uid: string
  readonly resourceVersion: string
  readonly creationTimestamp: string
  readonly labels: Readonly<Record<string, string>>
  /** The project's own. */
  readonly annotations: Readonly<Record<string, string>>
  /** UIDs of its owners. */
  readonly owners: readonly string[]
  /** By key, decoded. Must get into no log, error or status when it is a Secret's. */
  readonly data: ReadonlyMap<string, Buffer>
}

export type ConfigMapView = ObjectView
export type SecretView = ObjectView

/** The annotations of others may be large, and say nothing here. */
const OWN_ANNOTATION = 'midflight.dev/'

export function foundObject({ metadata }: KubeObject, data: FoundObject['data']): FoundObject {
  const { uid = '', resourceVersion = '', creationTimestamp = '', labels = {}, annotations = {} } = metadata
  const own = Object.entries(annotations).filter(([key]) => key.startsWith(OWN_ANNOTATION))
  const owners = Array.isArray(metadata.ownerReferences) ? metadata.ownerReferences.map(uidOf) : []
  return { uid, resourceVersion, creationTimestamp, labels, annotations: Object.fromEntries(own), owners, data }
}

const uidOf = (owner: unknown): string =>
  typeof owner === 'object' && owner !== null && 'uid' in owner ? String(owner.uid) : ''

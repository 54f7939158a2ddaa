/** Any Kubernetes object, as it comes from a server or a manifest: nothing of it is trusted before its schema parsed it. */
export type KubeObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly [field: string]: unknown
}

/** The part of ObjectMeta that a kernel reads. */
export type ObjectMeta = {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly finalizers?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly [field: string]: unknown
}

/** What a watch yields. `BOOKMARK` ends the initial list: from then on events are changes. */
export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  | { readonly type: 'BOOKMARK' }

/** One kind of object as the API server serves it; `group` is empty for the core group. */
export type ResourceType = {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly kind: string
  readonly namespaced: boolean
}

/** One object by name; `namespace` is absent for what has none. */
export type ObjectName = { readonly namespace?: string | undefined; readonly name: string }

/** `namespace/name`, or `name` alone for what has no namespace: what stores and queues are keyed by. */
export type ObjectKey = string

export const keyOfName = ({ namespace, name }: ObjectName): ObjectKey =>
  namespace === undefined ? name : `${namespace}/${name}`

export const keyOf = ({ metadata }: KubeObject): ObjectKey => keyOfName(metadata)

export function nameOfKey(key: ObjectKey): ObjectName {
  const slash = key.indexOf('/')
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** What a watcher tells whoever keeps the objects. All calls are synchronous. */
export interface ObjectSink {
  /**
   * The whole of what is there, after a first or a later list: what is not among the objects is gone.
   * @param resourceVersion of the list
   */
  replace(objects: readonly KubeObject[], resourceVersion: string): void
  upsert(object: KubeObject): void
  /** @param object in its last state */
  remove(object: KubeObject): void
}

/** The API server refused a request, or none answered (`code` 0). The message is the server's own, cut to 1 KiB. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status, or 0 when there was no answer. */
  readonly code: number
  /** `Status.reason`: `NotFound`, `Conflict`, `Expired` … */
  readonly reason: string
  /** How long the server asks to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined

  constructor(
    details: { code: number; reason: string; message: string; retryAfterMs?: number },
    options?: ErrorOptions,
  ) {
    super(details.message, options)
    this.code = details.code
    this.reason = details.reason
    this.retryAfterMs = details.retryAfterMs
  }
}

export const isApiError = (error: unknown, ...codes: readonly number[]): error is ApiError =>
  error instanceof ApiError && (codes.length === 0 || codes.includes(error.code))

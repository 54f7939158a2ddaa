import { isApiError, type KubeObject, type ObjectName, type ResourceType } from './types.ts'

/** Where finalizers are written. */
export interface FinalizerClient {
  patch(
    type: ResourceType,
    name: ObjectName,
    patch: { readonly type: 'merge'; readonly body: object },
    signal: AbortSignal,
  ): Promise<KubeObject>
}

export type FinalizerPlan =
  | { readonly type: 'none' }
  /** It is being deleted: the API server takes no new finalizer. */
  | { readonly type: 'deleting' }
  | { readonly type: 'patch'; readonly body: object }

export type FinalizerResult =
  /** As wanted already. */
  | { readonly type: 'unchanged' }
  | { readonly type: 'written'; readonly object: KubeObject }
  | { readonly type: 'deleting' }
  /** It is there no more, under this uid. */
  | { readonly type: 'gone' }
  /** It has changed since it was read: to be decided again. */
  | { readonly type: 'conflict' }

/**
 * A merge patch of the whole list with the version it was computed from: not by apply, whose next apply without the
 * finalizer would take it away.
 */
export function planFinalizer(object: KubeObject, finalizer: string, wanted: 'present' | 'absent'): FinalizerPlan {
  const { finalizers = [], uid, resourceVersion, deletionTimestamp } = object.metadata
  if (finalizers.includes(finalizer) === (wanted === 'present')) return { type: 'none' }
  if (wanted === 'present' && deletionTimestamp !== undefined) return { type: 'deleting' }
  const others = finalizers.filter((each) => each !== finalizer)
  const changed = wanted === 'present' ? [...finalizers, finalizer] : others
  return { type: 'patch', body: { metadata: { uid, resourceVersion, finalizers: changed } } }
}

export type FinalizerChange = {
  readonly type: ResourceType
  readonly object: KubeObject
  /** `group/name`. */
  readonly finalizer: string
  readonly wanted: 'present' | 'absent'
}

/** Rejects with an `ApiError` other than 404 and 409, and with the signal's reason. */
export async function writeFinalizer(
  client: FinalizerClient,
  { type, object, finalizer, wanted }: FinalizerChange,
  signal: AbortSignal,
): Promise<FinalizerResult> {
  const plan = planFinalizer(object, finalizer, wanted)
  switch (plan.type) {
    case 'none':
      return { type: 'unchanged' }
    case 'deleting':
      return plan
    case 'patch':
      try {
        const { name, namespace } = object.metadata
        const patch = { type: 'merge', body: plan.body } as const
        return { type: 'written', object: await client.patch(type, { name, namespace }, patch, signal) }
      } catch (error) {
        if (isApiError(error, 404)) return { type: 'gone' }
        if (isApiError(error, 409)) return { type: 'conflict' }
        throw error
      }
  }
}

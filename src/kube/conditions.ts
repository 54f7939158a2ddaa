import type { KubeObject, ObjectName } from './types.ts'

/** `metav1.Condition`. */
export type Condition = {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  /** The `metadata.generation` it was computed from. */
  readonly observedGeneration?: number
  /** When `status` changed last. */
  readonly lastTransitionTime: string
  /** CamelCase, for programs. */
  readonly reason: string
  /** For people. */
  readonly message: string
}

/** What a condition says now; when its status changed last follows from what it said before. */
export type ConditionUpdate = Omit<Condition, 'lastTransitionTime'>

/** `maxLength` of a condition's message in `metav1.Condition`. */
const MAX_MESSAGE = 32_768
const REASON = /^[A-Z][A-Za-z0-9]{0,1023}$/

/**
 * A condition, dated: `lastTransitionTime` moves only with `status`, and a message is cut to 32,768 characters.
 * @param previous what was said before, of this type and of others
 * @param now RFC 3339
 */
export function dateCondition<U extends ConditionUpdate>(
  update: U,
  previous: readonly Condition[],
  now: string,
): U & Pick<Condition, 'lastTransitionTime'> {
  if (!REASON.test(update.reason)) throw new Error(`a condition's reason is a CamelCase word, not "${update.reason}"`)
  const held = previous.find(({ type }) => type === update.type)
  const lastTransitionTime = held?.status === update.status ? held.lastTransitionTime : now
  return { ...update, message: cut(update.message), lastTransitionTime }
}

function cut(message: string): string {
  if (message.length <= MAX_MESSAGE) return message
  const short = message.slice(0, MAX_MESSAGE)
  return short.isWellFormed() || !message.isWellFormed() ? short : short.slice(0, -1)
}

export type StatusApply = {
  readonly name: ObjectName & { readonly subresource: 'status' }
  readonly patch: {
    readonly type: 'apply'
    readonly body: object
    readonly fieldManager: string
    readonly force: true
  }
}

/**
 * A server-side apply of the status that was computed from this object: 409 when the object has changed since or is
 * another one by now.
 * @param status every field that the manager owns: what is missing is removed
 */
export function statusApply(object: KubeObject, status: object, fieldManager: string): StatusApply {
  const { name, namespace, uid, resourceVersion } = object.metadata
  const metadata = { name, namespace, uid, resourceVersion }
  return {
    name: { name, namespace, subresource: 'status' },
    patch: {
      type: 'apply',
      body: { apiVersion: object.apiVersion, kind: object.kind, metadata, status },
      fieldManager,
      force: true,
    },
  }
}

import { microTime } from '../time.ts'
import type { KubeObject, ResourceType } from '../types.ts'

export const EVENTS: ResourceType = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
}

/** Something that happened to an object, told to people. */
export type Occurrence = {
  readonly regarding: KubeObject
  readonly related?: KubeObject
  readonly type: 'Normal' | 'Warning'
  /** Why, in CamelCase; at most 128 bytes. */
  readonly reason: string
  /** What was done or failed, in CamelCase; at most 128 bytes. */
  readonly action: string
  /** Cut to 1 KiB. */
  readonly note: string
  /**
   * What makes occurrences of one reason the same, whatever their notes: the first one's stands. Occurrences with one
   * have a budget of their own, so that they do not use up that of the others. Default: the note.
   */
  readonly correlation?: string
  /** How many times it happened. Default 1. */
  readonly count?: number
}

/** Who tells. */
export type Reporter = {
  /** `domain/name`, at most 128 bytes. */
  readonly controller: string
  /** The process; at most 128 bytes. */
  readonly instance: string
}

/** The limits of the API's validation, in bytes. */
const MAX_NOTE = 1024
const MAX_WORD = 128
/** An object's name may be 253 long; this leaves room for what makes it unique. */
const MAX_NAME = 200

/** Occurrences of one key are one Event. */
export function occurrenceKey({ regarding, related, note, correlation, ...kind }: Occurrence): string {
  const { type, reason, action } = kind
  const same = correlation === undefined ? [note] : [correlation, 'correlated']
  return JSON.stringify([objectIdentity(regarding), related && objectIdentity(related), type, reason, action, ...same])
}

/** Of one key there are so many at once, and no more. */
export const budgetKey = ({ regarding, correlation }: Occurrence): string =>
  `${objectIdentity(regarding)}${correlation === undefined ? '' : ' correlated'}`

export function objectIdentity({ kind, metadata: { namespace, name, uid } }: KubeObject): string {
  return uid ?? `${kind}/${namespace ?? ''}/${name}`
}

/** @param now milliseconds since 1970 */
export function eventOf(
  occurrence: Occurrence,
  { controller, instance }: Reporter,
  id: string,
  now: number,
): KubeObject {
  const { regarding, related, type, reason, action, note } = occurrence
  const { name, namespace = 'default' } = regarding.metadata
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `${name.slice(0, MAX_NAME).replace(/[^a-z0-9]+$/, '')}.${id}`, namespace },
    eventTime: microTime(now),
    type,
    reason: cut(reason, MAX_WORD),
    action: cut(action, MAX_WORD),
    note: cut(note, MAX_NOTE),
    regarding: referenceTo(regarding),
    ...(related === undefined ? {} : { related: referenceTo(related) }),
    reportingController: controller,
    reportingInstance: cut(instance, MAX_WORD),
  }
}

/** Nothing for a single occurrence. @param lastObservedAt milliseconds since 1970 */
export function seriesOf(count: number, lastObservedAt: number): { readonly series?: object } {
  return count < 2 ? {} : { series: { count, lastObservedTime: microTime(lastObservedAt) } }
}

function referenceTo({ apiVersion, kind, metadata: { namespace, name, uid } }: KubeObject): object {
  return { apiVersion, kind, namespace, name, uid }
}

const ELLIPSIS = '…'

/** The text, or its beginning with an ellipsis: as many whole characters as fit into the bytes. */
function cut(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text
  const room = new Uint8Array(maxBytes - Buffer.byteLength(ELLIPSIS))
  const { read } = new TextEncoder().encodeInto(text, room)
  return `${text.slice(0, read)}${ELLIPSIS}`
}

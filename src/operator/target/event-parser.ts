import { eventId, type HeardEvent, heardEvent, type RuntimeEvent } from '../../api/index.ts'
import { jsonOf } from './json.ts'

/** An event from its JSON; undefined for what is none. */
export type ParseEvent = (data: string) => HeardEvent | undefined

/** Events that are remembered: what one call to many pods makes of a few large chunks. */
const MAX_KNOWN = 2_000

/**
 * Parses events. Hundreds of pods that are given the same tell the same, each under an id of its own: what follows the
 * id is looked at once. One parser is for all pods of an operator.
 */
export function createEventParser(): ParseEvent {
  /** By what is left of an event without its id. */
  const known = new Map<string, RuntimeEvent>()

  return (data) => {
    const id = /,"id":"([^"\\]*)"\}$/.exec(data)
    if (id?.[1] === undefined) return heardEvent(jsonOf(data))
    const rest = data.slice(0, id.index)
    const before = known.get(rest)
    if (before !== undefined && eventId.safeParse(id[1]).success) return { ...before, id: id[1] }
    const event = heardEvent(jsonOf(data))
    // What else there is is not the same twice.
    if (event?.type !== 'activated' && event?.type !== 'rejected') return event
    const [oldest] = known.size < MAX_KNOWN ? [] : known.keys()
    if (oldest !== undefined) known.delete(oldest)
    known.set(rest, event)
    return event
  }
}

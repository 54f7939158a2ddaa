import { type RuntimeEvent, type RuntimeState, runtimeEvent } from '../../../api/index.ts'
import type { Check } from '../check.ts'
import type { Frame } from '../client.ts'
import { expectEqual, expectShape, expectThat, Unmet } from '../expectation.ts'
import { agent, agentId, bundle, PREFIX, type Session } from '../session.ts'

/** Longest wait for an event that has happened, in milliseconds. */
const EVENT_MS = 5_000
/** A runtime sends something at least this often, in milliseconds. */
const SILENCE_MS = 5_000

/** Reads frames until one ends the reading. @throws Unmet when that one does not come in time */
async function readUntil(
  session: Session,
  { after, what, ms }: { after: string | undefined; what: string; ms: number },
  isLast: (frame: Frame) => boolean,
): Promise<Frame[]> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), ms)
  const seen: Frame[] = []
  try {
    const { status, frames } = await session.client.stream(after, stop.signal)
    expectEqual('status of GET events', status, 200)
    for await (const frame of frames) {
      seen.push(frame)
      if (isLast(frame)) return seen
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    clearTimeout(timer)
    stop.abort()
  }
  throw new Unmet(`expected ${what} within ${ms} ms; got ${seen.length} frames`)
}

/** All events after an id, up to the last that the runtime has now. */
async function eventsAfter(session: Session, after: string): Promise<RuntimeEvent[]> {
  const { lastEventId } = await session.state()
  if (after === lastEventId) return []
  const wanted = { after, what: `event ${lastEventId}`, ms: EVENT_MS }
  const frames = await readUntil(session, wanted, (frame) => frame.type === 'event' && frame.id === lastEventId)
  return frames.flatMap((frame) => (frame.type === 'event' ? [eventOf(frame)] : []))
}

function eventOf({ id, event, data }: Extract<Frame, { type: 'event' }>): RuntimeEvent {
  const parsed = expectShape('data of an event', runtimeEvent, data)
  expectEqual('id of the frame and of its data', id, parsed.id)
  expectEqual('event of the frame and type of its data', event, parsed.type)
  return parsed
}

/** Several changes of every kind. */
async function change(session: Session): Promise<void> {
  await session.apply({ definitions: [agent('a'), agent('b', { prompt: { file: 'conformance.md' } })] })
  await session.apply({ bundles: { [PREFIX]: bundle({ 'prompts/conformance.md': 'one' }) } })
  await session.apply({
    bundles: { [PREFIX]: { ...bundle({ 'prompts/conformance.md': 'two' }), hash: '0'.repeat(32) } },
  })
  await session.apply({ bundles: { [PREFIX]: bundle({ 'prompts/conformance.md': 'three' }) } })
  await session.apply({
    definitions: [agent('c', { agents: [`${PREFIX}-nobody`] })],
    remove: { items: [agentId('a')] },
  })
  await session.apply({ remove: { items: [agentId('c')] } })
}

const numberOf = (id: string): number => Number(id.slice(id.lastIndexOf('/') + 1))

type Told = Pick<RuntimeState, 'items' | 'bundles'>

/** The items and bundles of a state once events have been taken in. */
function advance({ items, bundles }: Told, events: readonly RuntimeEvent[]): Told {
  const told = { items: new Map(Object.entries(items)), bundles: new Map(Object.entries(bundles)) }
  for (const event of events) {
    if (event.type === 'activated' || event.type === 'rejected') put(told.items, event.item, event.state)
    if (event.type === 'bundle') put(told.bundles, event.bundle, event.state)
  }
  return { items: Object.fromEntries(told.items), bundles: Object.fromEntries(told.bundles) }
}

function put<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}

const OF_ITEMS: ReadonlySet<string> = new Set(['activated', 'rejected'])

export const EVENTS: readonly Check[] = [
  {
    name: 'events: ids are bootId/number and count without gaps',
    run: async (session) => {
      const { lastEventId, bootId } = await session.state()
      await change(session)
      const ids = (await eventsAfter(session, lastEventId)).map(({ id }) => id)
      expectThat('expected events for these changes', ids.length > 0, ids)
      expectEqual(
        'ids',
        ids,
        ids.map((_, index) => `${bootId}/${numberOf(lastEventId) + 1 + index}`),
      )
    },
  },
  {
    name: 'events: a state and the events after it make the state now',
    run: async (session) => {
      await session.apply({ definitions: [agent('a')] })
      const before = await session.state()
      await change(session)
      const events = await eventsAfter(session, before.lastEventId)
      const { items, bundles } = await session.state()
      expectEqual('state and events', advance(before, events), { items, bundles })
    },
  },
  {
    name: 'events: Last-Event-ID resumes after that event',
    run: async (session) => {
      const { lastEventId } = await session.state()
      await change(session)
      const all = await eventsAfter(session, lastEventId)
      const middle = all[Math.floor(all.length / 2)]?.id ?? ''
      expectEqual(
        'events after the middle one',
        await eventsAfter(session, middle),
        all.slice(Math.floor(all.length / 2) + 1),
      )
    },
  },
  {
    name: 'events: an id that the runtime does not know yields reset',
    run: async (session) => {
      for (const after of ['another/7', `${session.writer.bootId}/99999999`, 'nonsense']) {
        const wanted = { after, what: `reset after ${after}`, ms: EVENT_MS }
        const [first] = await readUntil(session, wanted, (frame) => frame.type === 'event')
        expectEqual('first event', first?.type === 'event' ? first.event : first?.type, 'reset')
      }
    },
  },
  {
    name: 'events: an item that changes is told to who listens',
    run: async (session) => {
      const { lastEventId } = await session.state()
      const wanted = { after: lastEventId, what: 'an event of an item', ms: EVENT_MS }
      // Statistics and incidents come when they come.
      const reading = readUntil(session, wanted, (frame) => frame.type === 'event' && OF_ITEMS.has(frame.event))
      const [frames, { items }] = await Promise.all([reading, session.apply({ definitions: [agent('a')] })])
      const { outcome: _, ...active } = items[agentId('a')] ?? {}
      const event = frames.at(-1)
      const told = event?.type === 'event' ? eventOf(event) : undefined
      const expected = { id: told?.id, type: 'activated', item: agentId('a'), state: { owner: 'operator', active } }
      expectEqual('event', told, expected)
    },
  },
  {
    name: 'events: a silent stream shows at least every 5 s that it is alive',
    run: async (session) => {
      await readUntil(session, { after: undefined, what: 'a comment', ms: SILENCE_MS + 500 }, () => true)
    },
  },
]

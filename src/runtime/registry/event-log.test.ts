import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { RuntimeEvent } from '../../api/index.ts'
import { EventLog } from './event-log.ts'

const append = (log: EventLog, ...items: string[]) => {
  for (const item of items) log.append({ type: 'activated', item })
}
const tell = (event: RuntimeEvent) => `${event.id} ${event.type === 'activated' ? event.item : event.type}`

/** What a reader gets that is there already. */
async function told(log: EventLog, lastEventId?: string): Promise<RuntimeEvent[]> {
  const stop = new AbortController()
  const seen: RuntimeEvent[] = []
  const reading = (async () => {
    for await (const event of log.read(stop.signal, lastEventId)) seen.push(event)
  })()
  await new Promise((resolve) => setImmediate(resolve))
  stop.abort()
  await reading
  return seen
}
const toldAs = async (log: EventLog, lastEventId?: string) => (await told(log, lastEventId)).map(tell)

/** What a reader is due next, that many at most, and where it stands afterwards. */
function due(at: { last: number; read: number }, most: number, capacity: number): string[] {
  if (at.read < at.last - capacity) {
    at.read = at.last
    return [`boot/${at.last} reset`]
  }
  const from = at.read
  at.read = Math.min(at.last, from + most)
  return Array.from({ length: at.read - from }, (_, index) => `boot/${from + index + 1} ${from + index + 1}`)
}

describe('an event log', () => {
  test('gives what came after an id, and without one only what comes from now on', async () => {
    const log = new EventLog('boot')
    expect(log.lastId).toBe('boot/0')
    append(log, 'a', 'b', 'c')
    expect(log.lastId).toBe('boot/3')
    expect(await toldAs(log, 'boot/1')).toEqual(['boot/2 b', 'boot/3 c'])
    expect(await toldAs(log, 'boot/3')).toEqual([])
    expect(await toldAs(log)).toEqual([])
  })

  test.each([
    '',
    'boot',
    'boot/',
    'boot/x',
    'boot/-1',
    'boot/1.5',
    'boot/0x1',
    'boot/ 1',
    'boot/1/2',
    'boot/4',
    'other/1',
  ])('gives a reset and goes on from now after "%s", which is no id of its own', async (id) => {
    const log = new EventLog('boot')
    append(log, 'a', 'b', 'c')
    expect(await toldAs(log, id)).toEqual(['boot/3 reset'])
  })

  test('gives a reset to who fell behind what is kept, and everything to who just did not', async () => {
    const log = new EventLog('boot', 3)
    append(log, 'a', 'b', 'c', 'd', 'e')
    expect(await toldAs(log, 'boot/2')).toEqual(['boot/3 c', 'boot/4 d', 'boot/5 e'])
    expect(await toldAs(log, 'boot/1')).toEqual(['boot/5 reset'])
  })

  test('wakes every reader that waits, each at its own place', async () => {
    const log = new EventLog('boot')
    const stop = new AbortController()
    const first = log.read(stop.signal)
    const second = log.read(stop.signal, 'boot/0')
    const waiting = [first.next(), second.next()]
    append(log, 'a')
    for (const { value } of await Promise.all(waiting)) expect(tell(value)).toBe('boot/1 a')
    const last = [first.next(), second.next()]
    stop.abort()
    expect(await Promise.all(last)).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ])
  })

  test('gives statistics as they were told last, under each of their ids', async () => {
    const log = new EventLog('boot')
    log.append({ type: 'stats', stats: { x: { runs: 1, errors: 0 } } })
    append(log, 'a')
    log.append({ type: 'stats', stats: { x: { runs: 2, errors: 1 } } })
    const latest = { x: { runs: 2, errors: 1 } }
    expect(await told(log, 'boot/0')).toEqual([
      { id: 'boot/1', type: 'stats', stats: latest },
      { id: 'boot/2', type: 'activated', item: 'a' },
      { id: 'boot/3', type: 'stats', stats: latest },
    ])
  })

  test('tells a reader of any pace every event once and in order, or a reset in place of those it missed', async () => {
    const appended = fc.integer({ min: 1, max: 6 })
    const read = fc.integer({ min: -6, max: -1 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(appended, read), { maxLength: 30 }),
        fc.integer({ min: 1, max: 5 }),
        async (steps, capacity) => {
          const log = new EventLog('boot', capacity)
          const stop = new AbortController()
          const reader = log.read(stop.signal, 'boot/0')
          const at = { last: 0, read: 0 }
          for (const step of steps) {
            if (step > 0) append(log, ...Array.from({ length: step }, () => String(++at.last)))
            else for (const text of due(at, -step, capacity)) expect(tell((await reader.next()).value)).toBe(text)
          }
          stop.abort()
          expect((await reader.next()).done).toBe(true)
        },
      ),
      { numRuns: 200, seed: 3 },
    )
  })
})

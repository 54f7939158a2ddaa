import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createVirtualClock } from '../../clock.fixture.ts'
import { ApiError, type KubeObject } from '../types.ts'
import { createBudget } from './budget.ts'
import type { Occurrence } from './event.ts'
import { createRecorder, type EventClient } from './recorder.ts'

const START = Date.UTC(2026, 0, 1)
const MINUTE = 60_000

const thing = (name = 'a', uid = `uid-${name}`): KubeObject => ({
  apiVersion: 'example.dev/v1',
  kind: 'Thing',
  metadata: { name, namespace: 'x', uid },
})

const occurrence = (parts: Partial<Occurrence> = {}): Occurrence => ({
  regarding: thing(),
  type: 'Warning',
  reason: 'Rejected',
  action: 'Apply',
  note: 'tools/weather.ts:3: unknown name',
  ...parts,
})

/** Events as an API server keeps them, with the count that each shows, and every write. */
class EventServer implements EventClient {
  readonly events = new Map<string, KubeObject>()
  readonly writes: string[] = []
  /** Requests are answered when it resolves. */
  late: PromiseWithResolvers<void> | undefined
  /** What the next requests are refused with, in turn. */
  refusals: ApiError[] = []

  create: EventClient['create'] = async (_, object) => {
    await this.#receive('create')
    this.events.set(object.metadata.name, object)
    return object
  }

  patch: EventClient['patch'] = async (_, { name }, { body }) => {
    await this.#receive('patch')
    const held = this.events.get(name)
    if (held === undefined) throw new ApiError({ code: 404, reason: 'NotFound', message: 'not found' })
    const object = { ...held, ...body }
    this.events.set(name, object)
    return object
  }

  counts(): number[] {
    return [...this.events.values()].map(({ series }) => Number(Object(series).count ?? 1))
  }

  async #receive(method: string): Promise<void> {
    this.writes.push(method)
    await this.late?.promise
    const refusal = this.refusals.shift()
    if (refusal !== undefined) throw refusal
  }
}

function makeRecorder() {
  const clock = createVirtualClock(START)
  const server = new EventServer()
  const stop = new AbortController()
  const warnings: string[] = []
  const log = { debug: () => {}, warn: (message: string) => warnings.push(message) }
  let ids = 0
  const recorder = createRecorder(
    {
      client: server,
      reporter: { controller: 'example.dev/operator', instance: 'pod-1' },
      clock,
      log,
      createId: () => `${++ids}`,
    },
    stop.signal,
  )
  const pass = async (ms: number) => {
    await nextTurn()
    clock.advance(ms)
    await nextTurn()
  }
  return { clock, server, stop, recorder, warnings, pass }
}

const refusal = (code: number, retryAfterMs?: number) =>
  new ApiError({ code, reason: 'Refused', message: 'refused', ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })

describe('a recorder', () => {
  test('writes an occurrence as an Event, in the background', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence({ related: thing('b') }))
    expect(server.writes).toEqual([])
    await pass(0)
    expect([...server.events.values()]).toEqual([
      {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: 'a.1', namespace: 'x' },
        eventTime: '2026-01-01T00:00:00.000000Z',
        type: 'Warning',
        reason: 'Rejected',
        action: 'Apply',
        note: 'tools/weather.ts:3: unknown name',
        regarding: { apiVersion: 'example.dev/v1', kind: 'Thing', namespace: 'x', name: 'a', uid: 'uid-a' },
        related: { apiVersion: 'example.dev/v1', kind: 'Thing', namespace: 'x', name: 'b', uid: 'uid-b' },
        reportingController: 'example.dev/operator',
        reportingInstance: 'pod-1',
      },
    ])
  })

  test('writes what repeats as one series, at most every 5 min', async () => {
    const { server, recorder, pass } = makeRecorder()
    for (let second = 0; second < 600; second++) {
      recorder.record(occurrence())
      await pass(1_000)
    }
    expect(server.writes).toEqual(['create', 'patch', 'patch'])
    expect(server.counts()).toEqual([600])
    const [event] = server.events.values()
    expect(event?.series).toEqual({ count: 600, lastObservedTime: '2026-01-01T00:09:59.000000Z' })
  })

  test('writes the last count also when no more come', async () => {
    const { server, recorder, pass } = makeRecorder()
    for (let repeat = 0; repeat < 3; repeat++) {
      recorder.record(occurrence())
      await pass(1_000)
    }
    expect(server.counts()).toEqual([1])
    await pass(5 * MINUTE)
    expect(server.counts()).toEqual([3])
  })

  test('leaves what repeats during a write to the next one, 5 min later', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence())
    await pass(1_000)
    recorder.record(occurrence())
    server.late = Promise.withResolvers()
    await pass(5 * MINUTE)
    recorder.record(occurrence())
    server.late.resolve()
    await pass(5 * MINUTE - 1)
    expect(server.counts()).toEqual([2])
    await pass(1)
    expect(server.counts()).toEqual([3])
    expect(server.writes).toEqual(['create', 'patch', 'patch'])
  })

  test('begins a new Event when none came for 6 min', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence())
    await pass(6 * MINUTE)
    recorder.record(occurrence())
    await pass(0)
    expect([...server.events.keys()]).toEqual(['a.1', 'a.2'])
  })

  test('tells different notes apart', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence())
    recorder.record(occurrence({ note: 'another' }))
    await pass(0)
    expect(server.counts()).toEqual([1, 1])
  })

  test('writes 25 different ones of one object, then one every 5 min; other objects have their own', async () => {
    const { server, recorder, pass } = makeRecorder()
    for (let index = 0; index < 40; index++) recorder.record(occurrence({ note: `note ${index}` }))
    recorder.record(occurrence({ regarding: thing('b') }))
    await pass(0)
    expect(server.events.size).toBe(26)
    await pass(5 * MINUTE)
    for (let index = 0; index < 5; index++) recorder.record(occurrence({ note: `later ${index}` }))
    await pass(0)
    expect(server.events.size).toBe(27)
  })

  test('takes what correlates for one series, whatever its notes, and counts how many each tells', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence({ note: 'used 260 MiB', correlation: 'pod-1 memory', count: 2 }))
    recorder.record(occurrence({ note: 'used 270 MiB', correlation: 'pod-1 memory', count: 3 }))
    recorder.record(occurrence({ note: 'used 270 MiB', correlation: 'pod-2 memory' }))
    await pass(0)
    await pass(5 * MINUTE)
    expect(server.counts()).toEqual([5, 1])
    expect([...server.events.values()].map(({ note }) => note)).toEqual(['used 260 MiB', 'used 270 MiB'])
  })

  test('lets what correlates use up no more than a budget of its own', async () => {
    const { server, recorder, pass } = makeRecorder()
    for (let index = 0; index < 40; index++) recorder.record(occurrence({ correlation: `${index}` }))
    recorder.record(occurrence())
    await pass(0)
    expect(server.events.size).toBe(26)
  })

  test('cuts a note to 1 KiB, never through a character', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence({ note: '😀'.repeat(1_000) }))
    await pass(0)
    const note = String([...server.events.values()][0]?.note)
    expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1_024)
    expect(note).toBe(`${'😀'.repeat(255)}…`)
  })

  test('names an Event of a long name validly', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence({ regarding: thing(`${'a'.repeat(199)}.${'b'.repeat(53)}`) }))
    await pass(0)
    expect([...server.events.keys()]).toEqual([`${'a'.repeat(199)}.1`])
  })

  test('tries again every 10 s while the API server is away, and counts what comes meanwhile', async () => {
    const { server, recorder, pass } = makeRecorder()
    server.refusals = [refusal(0), refusal(503), refusal(429, 30_000)]
    recorder.record(occurrence())
    await pass(0)
    recorder.record(occurrence())
    await pass(10_000)
    await pass(10_000)
    await pass(29_999)
    expect(server.counts()).toEqual([])
    await pass(1)
    expect(server.counts()).toEqual([2])
    expect(server.writes).toHaveLength(4)
  })

  test('gives up after 12 tries, and at once what is refused for good; others go on', async () => {
    const { server, recorder, warnings, pass } = makeRecorder()
    server.refusals = [refusal(403), ...Array.from({ length: 12 }, () => refusal(500))]
    recorder.record(occurrence({ note: 'forbidden' }))
    await pass(0)
    recorder.record(occurrence({ note: 'unlucky' }))
    for (let index = 0; index < 15; index++) await pass(10_000)
    expect(server.writes).toHaveLength(13)
    expect(warnings).toHaveLength(2)
    recorder.record(occurrence())
    await pass(0)
    expect(server.counts()).toEqual([1])
  })

  test('creates an Event again that has expired, with its count', async () => {
    const { server, recorder, pass } = makeRecorder()
    recorder.record(occurrence())
    await pass(1_000)
    server.events.clear()
    recorder.record(occurrence())
    await pass(5 * MINUTE)
    expect(server.writes).toEqual(['create', 'patch', 'create'])
    expect(server.counts()).toEqual([2])
  })

  test('takes it for written when it is there already: an answer was lost', async () => {
    const { server, recorder, warnings, pass } = makeRecorder()
    server.refusals = [refusal(0), refusal(409)]
    recorder.record(occurrence())
    await pass(0)
    await pass(10_000)
    await pass(MINUTE)
    expect(server.writes).toEqual(['create', 'create'])
    expect(warnings).toEqual([])
  })

  test('of a series that has ended while it was written, lets what began after it be', async () => {
    const { clock, server, recorder, pass } = makeRecorder()
    server.late = Promise.withResolvers()
    server.refusals = [refusal(422)]
    recorder.record(occurrence())
    await pass(7 * MINUTE)
    recorder.record(occurrence())
    server.late.resolve()
    server.late = undefined
    await pass(0)
    recorder.record(occurrence())
    await pass(5 * MINUTE)
    expect(server.writes).toEqual(['create', 'create', 'patch'])
    expect(server.counts()).toEqual([2])
    expect(clock.running()).toBe(0)
  })

  test('keeps at most 4,096 series', async () => {
    const { clock, server, recorder, pass } = makeRecorder()
    for (let index = 0; index < 5_000; index++) recorder.record(occurrence({ regarding: thing(`a${index}`) }))
    await pass(0)
    expect(server.events.size).toBe(4_096)
    expect(clock.running()).toBe(0)
  })

  test('ends with its signal, and takes nothing more', async () => {
    const { clock, server, stop, recorder, pass } = makeRecorder()
    recorder.record(occurrence())
    await pass(0)
    recorder.record(occurrence())
    stop.abort()
    await recorder.ended
    recorder.record(occurrence({ note: 'late' }))
    await pass(10 * MINUTE)
    expect(server.writes).toEqual(['create'])
    expect(clock.running()).toBe(0)
  })
})

test('in the end the Events of any history say how often each thing happened', async () => {
  const op = fc.record({ note: fc.constantFrom('one', 'two', 'three'), ms: fc.constantFrom(0, 1_000, 100_000) })
  const failure = fc.constantFrom(undefined, refusal(0), refusal(500))
  await fc.assert(
    fc.asyncProperty(fc.array(op, { maxLength: 30 }), fc.array(failure, { maxLength: 5 }), async (ops, failures) => {
      const { server, recorder, pass } = makeRecorder()
      const expected = new Map<string, number>()
      for (const [index, { note, ms }] of ops.entries()) {
        server.refusals = [failures[index % 5]].flatMap((each) => each ?? [])
        recorder.record(occurrence({ note }))
        expected.set(note, (expected.get(note) ?? 0) + 1)
        await pass(ms)
      }
      server.refusals = []
      for (let minute = 0; minute < 12; minute++) await pass(MINUTE)
      const told = new Map<string, number>()
      for (const { note, series } of server.events.values()) {
        told.set(String(note), (told.get(String(note)) ?? 0) + Number(Object(series).count ?? 1))
      }
      expect(told).toEqual(expected)
    }),
    { seed: 1485514792, numRuns: 400 },
  )
})

test('a budget forgets the longest unused key, and only that', () => {
  const budget = createBudget({ burst: 1, refillMs: 1_000, limit: 2 })
  expect(['a', 'b', 'a', 'c', 'a', 'b'].map((key) => budget(key, 0))).toEqual([true, true, false, true, false, true])
})

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Registry } from 'prom-client'
import { createVirtualClock } from '../../clock.fixture.ts'
import { createQueueMetrics } from '../metrics/queue.ts'
import { exponentialBackoff } from './backoff.ts'
import { createWorkQueue, PRIORITY, type Priority, type WorkItem } from './work-queue.ts'

const { HIGH, LOW } = PRIORITY
const NEVER = new AbortController().signal

function makeQueue() {
  const clock = createVirtualClock()
  const registry = new Registry()
  const queue = createWorkQueue({ clock, metrics: createQueueMetrics(registry).of('agents', [HIGH, LOW]) })
  /** Everything that can be had now; all of it is then in somebody's hands. */
  const takeAll = async () => {
    const keys: string[] = []
    while (queue.depth > 0) keys.push((await queue.get(NEVER))?.key ?? 'nothing')
    return keys
  }
  return { clock, queue, registry, takeAll }
}

describe('a work queue', () => {
  test('gives a key once, however often it was added, in the order of arrival', async () => {
    const { queue, takeAll } = makeQueue()
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key)
    expect(await takeAll()).toEqual(['a', 'b', 'c'])
  })

  test('gives a key that was added while it ran once more, after it is done', async () => {
    const { queue, takeAll } = makeQueue()
    queue.add('a')
    await takeAll()
    queue.add('a')
    queue.add('a')
    expect(await takeAll()).toEqual([])
    queue.done('a')
    expect(await takeAll()).toEqual(['a'])
    queue.done('a')
    expect(await takeAll()).toEqual([])
  })

  test('of several times the earliest wins, and one turn serves them all', async () => {
    const { clock, queue, takeAll } = makeQueue()
    queue.add('a', { afterMs: 500 })
    queue.add('a', { afterMs: 100 })
    queue.add('a', { afterMs: 300 })
    clock.advance(99)
    expect(await takeAll()).toEqual([])
    clock.advance(1)
    expect(await takeAll()).toEqual(['a'])
    queue.done('a')
    clock.advance(1_000)
    expect(await takeAll()).toEqual([])
    expect(clock.running()).toBe(0)
  })

  test('an add without delay overtakes a delayed one', async () => {
    const { queue, takeAll } = makeQueue()
    queue.add('a', { afterMs: 500 })
    queue.add('a')
    expect(await takeAll()).toEqual(['a'])
  })

  test('a delayed add of a running key counts from the add, not from its end', async () => {
    const { clock, queue, takeAll } = makeQueue()
    queue.add('a')
    await takeAll()
    queue.add('a', { afterMs: 100 })
    clock.advance(60)
    queue.done('a')
    clock.advance(39)
    expect(await takeAll()).toEqual([])
    clock.advance(1)
    expect(await takeAll()).toEqual(['a'])
  })

  test('of several times for a running key the earliest wins', async () => {
    const { clock, queue, takeAll } = makeQueue()
    queue.add('a')
    await takeAll()
    for (const afterMs of [300, 100, 200]) queue.add('a', { afterMs })
    queue.done('a')
    clock.advance(100)
    expect(await takeAll()).toEqual(['a'])
  })

  test('changes go before what was there already, and lift what waits', async () => {
    const { queue, takeAll } = makeQueue()
    for (const key of ['a', 'b', 'c']) queue.add(key, { priority: LOW })
    queue.add('d')
    queue.add('c')
    expect(await takeAll()).toEqual(['c', 'd', 'a', 'b'])
  })

  test('a lower priority never lowers what waits', async () => {
    const { queue, takeAll } = makeQueue()
    queue.add('a', { priority: LOW })
    queue.add('b')
    queue.add('b', { priority: LOW })
    expect(await takeAll()).toEqual(['b', 'a'])
  })

  test('backs off per key from 5 ms up to 1,000 s, until the key is forgotten', async () => {
    const { clock, queue, takeAll } = makeQueue()
    const waits: number[] = []
    for (let failure = 0; failure < 20; failure++) {
      queue.addRateLimited('a')
      const from = clock.monotonic()
      while (queue.depth === 0) clock.advance(5)
      waits.push(clock.monotonic() - from)
      await takeAll()
      queue.done('a')
    }
    expect(waits.slice(0, 4)).toEqual([5, 10, 20, 40])
    expect(waits.at(-1)).toBe(1_000_000)
    queue.forget('a')
    queue.addRateLimited('a')
    clock.advance(5)
    expect(await takeAll()).toEqual(['a'])
  })

  test('wakes who waits, in turn, and lets go of who gave up', async () => {
    const { queue } = makeQueue()
    const controller = new AbortController()
    const gaveUp = queue.get(controller.signal)
    const [first, second] = [queue.get(NEVER), queue.get(NEVER)]
    controller.abort()
    expect(await gaveUp).toBeUndefined()
    queue.add('a')
    queue.add('b', { priority: LOW })
    expect(await Promise.all([first, second])).toEqual([
      { key: 'a', priority: HIGH },
      { key: 'b', priority: LOW },
    ])
  })

  test('shut down, it gives and takes nothing more, and waits for what runs', async () => {
    const { clock, queue, takeAll } = makeQueue()
    queue.add('a')
    await takeAll()
    queue.add('b')
    queue.add('c', { afterMs: 10 })
    let isDrained = false
    const drained = queue.shutDown().then(() => {
      isDrained = true
    })
    queue.add('d')
    expect(await queue.get(NEVER)).toBeUndefined()
    expect(clock.running()).toBe(0)
    expect(isDrained).toBe(false)
    queue.done('a')
    await drained
  })

  test('ends the wait of who waits when it is shut down', async () => {
    const { queue } = makeQueue()
    const waiting = queue.get(NEVER)
    await queue.shutDown()
    expect(await waiting).toBeUndefined()
  })

  test('refuses a done for what nobody holds', () => {
    expect(() => makeQueue().queue.done('a')).toThrow('not running')
  })

  test('keeps order among 100,000 keys', async () => {
    const { clock, queue, takeAll } = makeQueue()
    for (let key = 0; key < 100_000; key++) queue.add(`${key}`, { afterMs: 1 + ((key * 7919) % 100_000) })
    clock.advance(100_000)
    const keys = await takeAll()
    expect(keys).toHaveLength(100_000)
    expect(keys.slice(0, 2).map((key) => (Number(key) * 7919) % 100_000)).toEqual([0, 1])
  })

  test('counts from zero what waits, runs and is retried', async () => {
    const { clock, queue, registry, takeAll } = makeQueue()
    expect(await registry.metrics()).toContain('workqueue_depth{name="agents",controller="agents",priority="-100"} 0')
    queue.add('a')
    queue.add('b', { priority: LOW })
    clock.advance(2_000)
    const [item] = await takeAll()
    expect(item).toBe('a')
    clock.advance(3_000)
    queue.done('a')
    queue.add('c', { priority: LOW })
    queue.addRateLimited('d')
    clock.advance(1_000)
    const text = await registry.metrics()
    const labels = 'name="agents",controller="agents"'
    expect(text).toContain(`workqueue_depth{${labels},priority="-100"} 1`)
    expect(text).toContain(`workqueue_depth{${labels},priority="0"} 1`)
    expect(text).toContain(`workqueue_adds_total{${labels}} 4`)
    expect(text).toContain(`workqueue_retries_total{${labels}} 1`)
    expect(text).toContain(`workqueue_queue_duration_seconds_sum{${labels}} 4`)
    expect(text).toContain(`workqueue_work_duration_seconds_sum{${labels}} 3`)
    expect(text).toContain(`workqueue_unfinished_work_seconds{${labels}} 4`)
    expect(text).toContain(`workqueue_longest_running_processor_seconds{${labels}} 4`)
  })
})

test('jitter adds at most its part to a back-off', () => {
  const backoff = exponentialBackoff({ baseMs: 100, maxMs: 1_000, jitter: 0.2, random: () => 0.5 })
  expect([0, 1, 10].map((failures) => Math.round(backoff(failures)))).toEqual([110, 220, 1_100])
})

type Op = { type: 'add' | 'take' | 'done' | 'pass'; key: string; afterMs: number; priority: Priority }

/** The queue's contract, told without heaps: what waits is searched from end to end. */
class Model {
  waiting: { key: string; due: number; priority: Priority; order: number }[] = []
  running = new Set<string>()
  #order = 0

  add(key: string, due: number, priority: Priority): void {
    const held = this.waiting.find((each) => each.key === key)
    if (held === undefined) this.waiting.push({ key, due, priority, order: 0 })
    else Object.assign(held, { due: Math.min(held.due, due), priority: Math.max(held.priority, priority) })
  }

  /** Gives what has become due its place, in the order in which it became due. */
  arrive(now: number): void {
    const arrived = this.waiting.filter(({ key, due, order }) => order === 0 && due <= now && !this.running.has(key))
    for (const each of arrived) each.order = ++this.#order
  }

  ready() {
    return this.waiting.filter(({ order }) => order > 0)
  }

  take(): WorkItem | undefined {
    const [first] = this.ready().sort((a, b) => b.priority - a.priority || a.order - b.order)
    if (first === undefined) return undefined
    this.waiting = this.waiting.filter((each) => each !== first)
    this.running.add(first.key)
    return { key: first.key, priority: first.priority }
  }
}

test('a work queue agrees with its contract for any history', async () => {
  const op: fc.Arbitrary<Op> = fc.record({
    type: fc.constantFrom('add', 'add', 'take', 'done', 'pass'),
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    afterMs: fc.constantFrom(0, 0, 1, 5, 9),
    priority: fc.constantFrom(HIGH, LOW),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 30, maxLength: 80 }), async (ops) => {
      const pair = { ...makeQueue(), model: new Model() }
      for (const each of ops) {
        await perform(each, pair)
        pair.model.arrive(pair.clock.monotonic())
        expect(pair.queue.depth).toBe(pair.model.ready().length)
      }
    }),
    { numRuns: 300 },
  )
})

type Pair = ReturnType<typeof makeQueue> & { readonly model: Model }

async function perform({ type, key, afterMs, priority }: Op, { clock, queue, model }: Pair): Promise<void> {
  switch (type) {
    case 'add':
      queue.add(key, { afterMs, priority })
      model.add(key, clock.monotonic() + afterMs, priority)
      break
    case 'pass':
      for (let ms = 0; ms < afterMs; ms++) {
        clock.advance(1)
        model.arrive(clock.monotonic())
      }
      break
    case 'done':
      if (model.running.delete(key)) queue.done(key)
      break
    case 'take':
      expect(queue.depth > 0 ? await queue.get(NEVER) : undefined).toEqual(model.take())
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { createVirtualClock } from '../clock.fixture.ts'
import type { Log } from '../log.ts'
import { type ControllerOptions, type Outcome, runController } from './controller.ts'
import { LeaseLost } from './lease/lost.ts'
import { createControllerMetrics } from './metrics/controller.ts'
import { createQueueMetrics } from './metrics/queue.ts'
import { createWorkQueue, PRIORITY } from './queue/work-queue.ts'

const SETTLED: Outcome = { type: 'settled' }
const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** A controller that runs; `reconciled` is the keys in the order in which they were started. */
function start(reconcile: ControllerOptions['reconcile'], options: Partial<ControllerOptions> = {}) {
  const clock = createVirtualClock()
  const registry = new Registry()
  const priorities = Object.values(PRIORITY)
  const queue = createWorkQueue({ clock, metrics: createQueueMetrics(registry).of('things', priorities) })
  const stop = new AbortController()
  const reconciled: string[] = []
  const metrics = createControllerMetrics(registry).of('things')
  const running = runController(
    {
      name: 'things',
      queue,
      workers: 2,
      clock,
      metrics,
      log: SILENT,
      ...options,
      reconcile: (key, signal) => {
        reconciled.push(key)
        return reconcile(key, signal)
      },
    },
    stop.signal,
  )
  const count = async (name: string) => {
    const line = (await registry.metrics()).split('\n').find((each) => each.startsWith(name))
    return Number(line?.split(' ').at(-1))
  }
  return { clock, queue, stop, running, reconciled, count }
}

/** Lets everything that is due now happen. */
const settleDown = async () => {
  for (let turn = 0; turn < 3; turn++) await nextTurn()
}

/** A reconcile that ends when told to. */
function gate() {
  const open = Promise.withResolvers<Outcome>()
  return { reconcile: () => open.promise, open: () => open.resolve(SETTLED) }
}

describe('a controller', () => {
  test('works on as many keys at once as it has workers', async () => {
    const { reconcile, open } = gate()
    const { queue, reconciled, count } = start(reconcile)
    for (const key of ['a', 'b', 'c']) queue.add(key)
    await settleDown()
    expect(reconciled).toEqual(['a', 'b'])
    expect(await count('controller_runtime_active_workers')).toBe(2)
    expect(await count('controller_runtime_max_concurrent_reconciles')).toBe(2)
    open()
    await settleDown()
    expect(reconciled).toEqual(['a', 'b', 'c'])
    expect(await count('controller_runtime_active_workers')).toBe(0)
    expect(await count('controller_runtime_reconcile_total{controller="things",result="success"}')).toBe(3)
  })

  test('starts every count at zero', async () => {
    const { count } = start(async () => SETTLED)
    for (const result of ['success', 'error', 'requeue', 'requeue_after']) {
      expect(await count(`controller_runtime_reconcile_total{controller="things",result="${result}"}`)).toBe(0)
    }
    for (const name of ['reconcile_errors', 'terminal_reconcile_errors', 'reconcile_panics', 'reconcile_timeouts']) {
      expect(await count(`controller_runtime_${name}_total{controller="things"}`)).toBe(0)
    }
    expect(await count('controller_runtime_reconcile_time_seconds_count{controller="things"}')).toBe(0)
  })

  test('looks again after the time that a reconcile asks for', async () => {
    const { clock, queue, reconciled, count } = start(async () => ({ type: 'requeue', afterMs: 30_000 }))
    queue.add('a')
    await settleDown()
    clock.advance(29_999)
    await settleDown()
    expect(reconciled).toHaveLength(1)
    clock.advance(1)
    await settleDown()
    expect(reconciled).toHaveLength(2)
    expect(await count('controller_runtime_reconcile_total{controller="things",result="requeue_after"}')).toBe(2)
  })

  test('looks again after what is more urgent, where a reconcile says so', async () => {
    const slow = Promise.withResolvers<void>()
    const looks: string[] = []
    const reconcile = async (key: string): Promise<Outcome> => {
      looks.push(key)
      if (key === 'slow') await slow.promise
      return looks.length === 1 ? { type: 'requeue', afterMs: 1_000, priority: PRIORITY.LOW } : { type: 'settled' }
    }
    const { clock, queue } = start(reconcile, { workers: 1 })
    queue.add('patient')
    await settleDown()
    queue.add('slow')
    await settleDown()
    clock.advance(1_000)
    queue.add('urgent')
    slow.resolve()
    await settleDown()
    expect(looks).toEqual(['patient', 'slow', 'urgent', 'patient'])
  })

  test('does not run again what only a change can mend', async () => {
    const { clock, queue, reconciled, count } = start(async () => ({ type: 'stalled', error: new Error('bad spec') }))
    queue.add('a')
    await settleDown()
    clock.advance(10_000_000)
    await settleDown()
    expect(reconciled).toEqual(['a'])
    expect(await count('controller_runtime_terminal_reconcile_errors_total')).toBe(1)
    expect(await count('controller_runtime_reconcile_errors_total')).toBe(1)
  })

  test('retries what throws, with a growing back-off, and other keys are not held back by it', async () => {
    const { clock, queue, reconciled, count } = start(async (key) => {
      if (key === 'poison') throw new Error('always')
      return SETTLED
    })
    queue.add('poison')
    for (let ms = 0; ms < 1_000; ms++) {
      if (ms % 100 === 0) queue.add(`good-${ms}`)
      clock.advance(1)
      await nextTurn()
    }
    // At 0, 5, 15, 35, 75, 155, 315 and 635 ms.
    expect(reconciled.filter((key) => key === 'poison')).toHaveLength(8)
    expect(reconciled.filter((key) => key !== 'poison')).toHaveLength(10)
    expect(await count('controller_runtime_reconcile_panics_total')).toBe(8)
  })

  test('keeps the priority of what it retries', async () => {
    const gated = gate()
    const { clock, queue, reconciled } = start(
      async (key) => {
        if (key === 'gate') return gated.reconcile()
        return key === 'old' && reconciled.length === 1 ? { type: 'retry', error: 'not yet' } : SETTLED
      },
      { workers: 1 },
    )
    queue.add('old', { priority: PRIORITY.LOW })
    await settleDown()
    queue.add('gate')
    await settleDown()
    clock.advance(5)
    queue.add('new')
    gated.open()
    await settleDown()
    expect(reconciled).toEqual(['old', 'gate', 'new', 'old'])
  })

  test('a thousand changes of one key while it runs are one more run', async () => {
    const { reconcile, open } = gate()
    const { queue, reconciled } = start(reconcile)
    queue.add('hot')
    await settleDown()
    for (let change = 0; change < 1_000; change++) queue.add('hot')
    open()
    await settleDown()
    expect(reconciled).toEqual(['hot', 'hot'])
  })

  test('never runs one key twice at once', async () => {
    let now = 0
    let most = 0
    const { queue, reconciled } = start(
      async () => {
        most = Math.max(most, ++now)
        await nextTurn()
        now--
        return SETTLED
      },
      { workers: 5 },
    )
    for (let round = 0; round < 20; round++) {
      queue.add('a')
      await nextTurn()
    }
    await settleDown()
    expect(most).toBe(1)
    expect(reconciled.length).toBeGreaterThan(2)
  })

  test('ends a reconcile at its time limit, counts that as a timeout and no panic, and retries', async () => {
    const { clock, queue, reconciled, count } = start(hangUntilAborted, { timeoutMs: 1_000 })
    queue.add('slow')
    await settleDown()
    clock.advance(1_000)
    await settleDown()
    expect(await count('controller_runtime_reconcile_timeouts_total')).toBe(1)
    expect(await count('controller_runtime_reconcile_panics_total')).toBe(0)
    clock.advance(5)
    await settleDown()
    expect(reconciled).toEqual(['slow', 'slow'])
  })

  test('gives its turn to timers and I/O during a long stretch of quick work', async () => {
    let isOver = false
    const { clock, queue, stop, running } = start(async () => {
      clock.advance(1)
      if (!isOver) queue.add('b')
      return SETTLED
    })
    queue.add('a')
    await nextTurn()
    isOver = true
    stop.abort()
    await running
  })
})

describe('a controller that is told to stop', () => {
  test('starts nothing new, lets what runs end, and then is over', async () => {
    const { reconcile, open } = gate()
    const { clock, queue, stop, running, reconciled } = start(reconcile, { workers: 1 })
    queue.add('a')
    queue.add('b')
    await settleDown()
    stop.abort()
    clock.advance(29_999)
    open()
    await running
    expect(reconciled).toEqual(['a'])
    expect(clock.running()).toBe(0)
  })

  test('aborts what still runs after 30 s, and is over whether that ends or not', async () => {
    const signals: AbortSignal[] = []
    const { clock, queue, stop, running } = start((_, signal) => {
      signals.push(signal)
      return new Promise(() => {})
    })
    queue.add('a')
    await settleDown()
    stop.abort(new Error('SIGTERM'))
    clock.advance(29_999)
    await settleDown()
    expect(signals[0]?.aborted).toBe(false)
    clock.advance(1)
    await running
    expect(signals[0]?.reason).toEqual(new Error('SIGTERM'))
  })

  test('by the loss of its lease gives no time', async () => {
    const { queue, stop, running, count } = start(hangUntilAborted)
    queue.add('a')
    await settleDown()
    stop.abort(new LeaseLost('Taken', 'another process leads'))
    await running
    await settleDown()
    expect(await count('controller_runtime_reconcile_panics_total')).toBe(0)
    expect(await count('controller_runtime_active_workers')).toBe(0)
  })

  test('before it began does nothing', async () => {
    const { queue, stop, running, reconciled } = start(async () => SETTLED)
    stop.abort()
    queue.add('a')
    await running
    expect(reconciled).toEqual([])
  })
})

const hangUntilAborted: ControllerOptions['reconcile'] = (_, signal) =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

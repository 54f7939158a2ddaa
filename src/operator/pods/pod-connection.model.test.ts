import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { hashText, type ItemId, type ItemState } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import type { PodChange } from './connection.ts'
import { emptyCall, FakeRuntime, refusing, serving } from './fake-runtime.fixture.ts'
import { createStateInterner } from './interner.ts'
import { connectPod } from './pod-connection.ts'

const never = new AbortController().signal
const { target: _, ...call } = emptyCall

const id = fc.constantFrom<ItemId>('agents/a', 'agents/b', 'teams/c', 'settings')
const word = fc.constantFrom('one', 'two', 'three')
const state = fc.oneof(
  fc.constant(undefined),
  word.map(serving),
  fc.tuple(word, word).map(([active, refused]) => refusing(active, refused)),
)

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('item' as const), id, state }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('bundle' as const), hash: fc.option(word) }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('apply' as const), id: fc.option(id), word, release: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('pass' as const), ms: fc.constantFrom(0, 50, 1000, 31_000) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('fail' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constantFrom(
        'stats' as const,
        'drop' as const,
        'forget' as const,
        'restart' as const,
        'refresh' as const,
        'askAnew' as const,
        'steal' as const,
      ),
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** Somebody who knows of the pod only what changes tell. */
function createReader() {
  const items = new Map<ItemId, ItemState>()
  return {
    items,
    take: (change: PodChange, now: ReadonlyMap<ItemId, ItemState> | undefined) => {
      if (change.items === 'all') items.clear()
      for (const changed of change.items === 'all' ? (now?.keys() ?? []) : change.items) {
        const item = now?.get(changed)
        if (item === undefined) items.delete(changed)
        else items.set(changed, item)
      }
    },
  }
}

function createRun(delays: readonly number[]) {
  const runtime = new FakeRuntime('uid-1')
  const clock = createVirtualClock()
  const controller = new AbortController()
  const reader = createReader()
  const divergences: unknown[] = []
  const interner = createStateInterner()
  let failing = 0
  let calls = 0
  const delayed = () => {
    calls += 1
    return turns(delays[calls % delays.length] ?? 0)
  }
  runtime.before = async () => {
    await delayed()
    if (failing > 0) {
      failing -= 1
      throw new Error('not now')
    }
  }
  runtime.after = delayed
  const pod = connectPod(
    {
      target: runtime,
      pod: { name: 'main-0', uid: 'uid-1' },
      clock,
      random: () => 0.5,
      interner,
      onChange: (change) => reader.take(change, pod?.state?.items),
      onDivergence: (difference) => divergences.push(difference),
    },
    controller.signal,
  )

  const take = async (taken: Step): Promise<void> => {
    switch (taken.type) {
      case 'item':
        return runtime.item(taken.id, taken.state)
      case 'bundle':
        return runtime.bundle('support', taken.hash === null ? undefined : { active: hashText(taken.hash) })
      case 'apply': {
        const item = { owner: 'operator' as const, revision: hashText(taken.word), definition: {} }
        const items = taken.id === null ? {} : { [taken.id]: item }
        const secrets = { 'llm/key': { version: taken.word, value: 'x' } }
        const request = {
          ...call,
          fence: runtime.fence + 1,
          items,
          secrets,
          ...(taken.release && { release: true as const }),
        }
        return void pod.apply(request, never).catch(() => undefined)
      }
      case 'pass':
        await turns(3)
        return clock.advance(taken.ms)
      case 'fail':
        failing += taken.count
        return
      case 'steal':
        runtime.claimedBy = 'default/other'
        return
      case 'refresh':
        return pod.refresh()
      case 'askAnew':
        return pod.askAnew()
      default:
        return runtime[taken.type]()
    }
  }

  /** Time passes until everything that was under way has settled and the safety net has looked. */
  const settle = async () => {
    failing = 0
    for (const ms of [1000, 1000, 1000, 1000, 2000, 2000, 31_000, 1000, 1000, 1000, 31_000]) {
      await turns(20)
      clock.advance(ms)
    }
    await turns(20)
  }
  const end = async () => {
    controller.abort(new Error('over'))
    await pod.ended
  }
  return { runtime, pod, reader, divergences, interner, clock, take, settle, end }
}

test('the mirror is what the pod says, and changes tell all of it, whenever it is quiet', async () => {
  const steps = fc.array(step, { maxLength: 30 })
  const delays = fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 7 })
  await fc.assert(
    fc.asyncProperty(steps, delays, async (taken, waits) => {
      const { runtime, pod, reader, divergences, interner, clock, ...run } = createRun(waits)
      for (const each of taken) {
        await run.take(each)
        await turns(waits[0] ?? 0)
      }
      await run.settle()
      const told = runtime.content()
      expect(pod.link).toEqual({ type: 'reachable' })
      expect(Object.fromEntries(pod.state?.items ?? [])).toEqual(told.items)
      expect(Object.fromEntries(pod.state?.bundles ?? [])).toEqual(told.bundles)
      expect(Object.fromEntries(pod.state?.secrets ?? [])).toEqual(told.secrets)
      expect(pod.state).toMatchObject({ bootId: told.bootId, fence: told.fence, complete: told.complete })
      expect(pod.state?.claimedBy).toBe(told.claimedBy)
      expect(Object.fromEntries(reader.items)).toEqual(told.items)
      expect(divergences).toEqual([])
      await run.end()
      expect(interner.size).toBe(0)
      expect(clock.running()).toBe(0)
    }),
    { seed: 7, numRuns: 400 },
  )
}, 20_000)

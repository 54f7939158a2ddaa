import { describe, expect, test } from '@jest/globals'
import { hashText, ProblemError } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import type { PodState } from '../ports.ts'
import type { PodChange, PodConnection } from './connection.ts'
import { emptyCall, FakeRuntime, refusing, serving } from './fake-runtime.fixture.ts'
import { createStateInterner, type StateInterner } from './interner.ts'
import type { Difference } from './mirror.ts'
import { connectPod } from './pod-connection.ts'

const never = new AbortController().signal
const { target: _, ...call } = emptyCall

type Rig = {
  readonly pod: PodConnection
  readonly clock: ReturnType<typeof createVirtualClock>
  readonly changes: PodChange[]
  readonly divergences: Difference[]
  end(): Promise<void>
}

function follow(runtime: FakeRuntime, interner?: StateInterner): Rig {
  const clock = createVirtualClock()
  const controller = new AbortController()
  const changes: PodChange[] = []
  const divergences: Difference[] = []
  const pod = connectPod(
    {
      target: runtime,
      pod: { name: 'main-0', uid: 'uid-1' },
      clock,
      random: () => 0.999,
      onChange: (change) => changes.push(change),
      onDivergence: (difference) => divergences.push(difference),
      ...(interner && { interner }),
    },
    controller.signal,
  )
  const end = async () => {
    controller.abort(new Error('over'))
    await pod.ended
  }
  return { pod, clock, changes, divergences, end }
}

/** Lets everything that is ready run, until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000; turn += 1) {
    if (condition()) return
    await new Promise((resolve) => setImmediate(resolve))
  }
  throw new Error(`never: ${condition}`)
}

const quiet = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** A mirror as the state that it should be. */
const told = (state: PodState | undefined) =>
  state && {
    bootId: state.bootId,
    claimedBy: state.claimedBy,
    fence: state.fence,
    complete: state.complete,
    items: Object.fromEntries(state.items),
    bundles: Object.fromEntries(state.bundles),
    secrets: Object.fromEntries(state.secrets),
    pins: Object.fromEntries(state.pins),
  }

const expected = (runtime: FakeRuntime) => {
  const { bootId, claimedBy, fence, complete, items, bundles, secrets, pins } = runtime.content()
  return { bootId, claimedBy, fence, complete, items, bundles, secrets, pins }
}

async function following(runtime: FakeRuntime, interner?: StateInterner): Promise<Rig> {
  const rig = follow(runtime, interner)
  await until(() => rig.pod.phase === 'following' && runtime.calls.events > 0)
  return rig
}

describe('reading and following', () => {
  test('is connecting and knows nothing before the first read', async () => {
    const rig = follow(new FakeRuntime())
    expect(rig.pod.link).toEqual({ type: 'connecting' })
    expect(rig.pod.state).toBeUndefined()
    await rig.end()
  })

  test('tells everything as changed with the first state', async () => {
    const runtime = new FakeRuntime('uid-1')
    runtime.item('agents/a', serving('a'))
    const rig = await following(runtime)
    expect(rig.changes).toEqual([{ items: 'all', bundles: true, link: true, restarted: false }])
    expect(rig.pod.link).toEqual({ type: 'reachable' })
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    await rig.end()
  })

  test('tells each event as the change that it is', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    rig.changes.length = 0
    runtime.item('agents/a', refusing('a', 'b'))
    runtime.bundle('support', { active: hashText('files') })
    runtime.stats()
    runtime.item('agents/a')
    await until(() => rig.changes.length === 3)
    const none = { items: new Set(), bundles: false, link: false, restarted: false }
    expect(rig.changes).toEqual([
      { ...none, items: new Set(['agents/a']) },
      { ...none, bundles: true },
      { ...none, items: new Set(['agents/a']) },
    ])
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    await rig.end()
  })

  test('tells what the pod accepts as soon as a state says it, also while it is called all the time', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    // Each state tells of before or after some call, so that nothing else of it can be compared.
    runtime.after = async (method) => {
      if (method === 'state') runtime.item('agents/a', serving(`${runtime.calls.state}`))
    }
    runtime.credentials = { tokenIds: ['0123456789abcdef'] }
    rig.changes.length = 0
    rig.pod.refresh()
    await until(() => rig.pod.state?.credentials !== undefined)
    expect(rig.pod.state?.credentials).toEqual({ tokenIds: ['0123456789abcdef'] })
    expect(rig.changes).toContainEqual({ items: new Set(), bundles: false, link: false, restarted: false })
    await rig.end()
  })

  test('loses nothing that happens between the state and the first event', async () => {
    const runtime = new FakeRuntime()
    runtime.after = () => {
      runtime.after = () => undefined
      runtime.item('agents/late', serving('late'))
    }
    const rig = follow(runtime)
    await until(() => rig.pod.state?.items.has('agents/late') === true)
    expect(runtime.calls.state).toBe(1)
    await rig.end()
  })

  test('reads the state again after reset', async () => {
    const runtime = new FakeRuntime()
    runtime.after = () => {
      runtime.after = () => undefined
      runtime.item('agents/unheard', serving('unheard'))
      runtime.forget()
    }
    const rig = follow(runtime)
    await until(() => rig.pod.phase === 'backingOff')
    rig.clock.advance(50)
    await until(() => rig.pod.state?.items.has('agents/unheard') === true)
    expect(runtime.calls.state).toBe(2)
    await rig.end()
  })

  test('reads the state again at once when the stream is lost, and finds it unchanged', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    rig.changes.length = 0
    rig.clock.advance(1000)
    runtime.drop()
    await until(() => runtime.calls.events === 2)
    expect(runtime.calls.state).toBe(2)
    expect(rig.changes).toEqual([])
    await rig.end()
  })

  test('tells a restart, with all that the new process says', async () => {
    const runtime = new FakeRuntime()
    runtime.item('agents/old', serving('old'))
    const rig = await following(runtime)
    rig.clock.advance(1000)
    runtime.restart()
    runtime.item('agents/new', serving('new'))
    await until(() => rig.pod.state?.bootId === 'boot-2' && runtime.calls.events === 2)
    expect(rig.changes.at(-1)).toEqual({ items: 'all', bundles: true, link: false, restarted: true })
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    await rig.end()
  })

  test('sees a restarted runtime within a second of its first answer', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    runtime.before = () => Promise.reject(new Error('gone'))
    runtime.drop()
    await until(() => rig.pod.phase === 'backingOff')
    for (let ms = 0; ms < 60_000; ms += 100) {
      rig.clock.advance(100)
      await quiet()
    }
    runtime.before = () => undefined
    runtime.restart()
    for (let ms = 0; ms < 1000; ms += 100) {
      rig.clock.advance(100)
      await quiet()
    }
    expect(rig.pod.state?.bootId).toBe('boot-2')
    expect(rig.pod.link).toEqual({ type: 'reachable' })
    await rig.end()
  })

  test('ends its stream and its timers with the signal, and still says what it knew last', async () => {
    const runtime = new FakeRuntime()
    runtime.item('agents/a', serving('a'))
    const interner = createStateInterner()
    const rig = await following(runtime, interner)
    const last = told(rig.pod.state)
    await rig.end()
    expect(rig.pod.phase).toBe('ended')
    expect(told(rig.pod.state)).toEqual(last)
    expect(interner.size).toBe(0)
    expect(rig.clock.running()).toBe(0)
  })
})

describe('a pod that does not answer', () => {
  test('is unreachable with the reason, keeps its last state, and is asked at most twice a second', async () => {
    const runtime = new FakeRuntime()
    runtime.item('agents/a', serving('a'))
    const rig = await following(runtime)
    const problem = { reason: 'RuntimeUnreachable', message: 'refuses connections' } as const
    runtime.before = () => Promise.reject(new ProblemError(problem))
    rig.changes.length = 0
    rig.clock.advance(1000)
    runtime.drop()
    await until(() => rig.pod.link.type === 'unreachable')
    expect(rig.pod.link).toEqual({ type: 'unreachable', problem })
    rig.clock.advance(1000)
    await quiet()
    const before = runtime.calls.state
    for (let ms = 0; ms < 20_000; ms += 50) {
      rig.clock.advance(50)
      await quiet()
    }
    expect(runtime.calls.state - before).toBeLessThanOrEqual(40)
    expect(runtime.calls.state - before).toBeGreaterThan(15)
    expect(rig.changes).toEqual([{ items: new Set(), bundles: false, link: true, restarted: false }])
    expect(rig.pod.state?.items.size).toBe(1)
    await rig.end()
  })

  test('is unreachable while another pod has its address', async () => {
    const rig = follow(new FakeRuntime('uid-2'))
    await until(() => rig.pod.link.type === 'unreachable')
    expect(rig.pod.link).toMatchObject({ problem: { reason: 'WrongTarget' } })
    expect(rig.pod.state).toBeUndefined()
    await expect(rig.pod.apply(call, never)).rejects.toMatchObject({ problem: { reason: 'WrongTarget' } })
    await rig.end()
  })

  test('and never did is connecting anew when it is asked anew, at once and whatever a read under way comes to', async () => {
    const runtime = new FakeRuntime()
    const reads: ((error?: Error) => void)[] = []
    const held = () =>
      new Promise<void>((resolve, reject) => reads.push((error) => (error ? reject(error) : resolve())))
    runtime.before = (method) => (method === 'state' ? held() : undefined)
    const rig = follow(runtime)
    await until(() => reads.length === 1)
    reads[0]?.(new Error('refuses connections'))
    await until(() => rig.pod.phase === 'backingOff')
    expect(rig.pod.link.type).toBe('unreachable')
    rig.pod.askAnew()
    expect(rig.pod.link.type).toBe('connecting')
    await until(() => reads.length === 2)
    rig.pod.askAnew()
    rig.changes.length = 0
    reads[1]?.(new Error('refuses connections'))
    await until(() => reads.length === 3)
    expect([rig.pod.link.type, rig.changes]).toEqual(['connecting', []])
    reads[2]?.()
    await until(() => rig.pod.link.type === 'reachable')
    rig.pod.askAnew()
    expect(rig.pod.link.type).toBe('reachable')
    await rig.end()
    expect(rig.clock.running()).toBe(0)
  })

  test('cannot be given anything before its state is known', async () => {
    const runtime = new FakeRuntime()
    const rig = follow(runtime)
    await expect(rig.pod.apply(call, never)).rejects.toMatchObject({ problem: { reason: 'RuntimeUnreachable' } })
    expect(runtime.calls.apply).toBe(0)
    await rig.end()
  })
})

describe('the safety net', () => {
  test('looks at the state at any time within 30 s, and every 30 s from then on', async () => {
    const runtime = new FakeRuntime()
    runtime.complete = true
    const rig = await following(runtime)
    for (const [ms, reads] of [
      [0.999 * 30_000, 2],
      [30_000, 3],
      [30_000, 4],
    ] as const) {
      await rig.clock.scheduled(ms)
      rig.clock.advance(ms)
      await until(() => runtime.calls.state === reads)
      await quiet()
    }
    expect(rig.divergences).toEqual([])
    await rig.end()
  })

  test('does not look at a state that is only being made, and does when nothing is told the pod any more', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    await rig.clock.scheduled(0.999 * 30_000)
    rig.clock.advance(0.999 * 30_000)
    await rig.clock.scheduled(30_000)
    await rig.pod.apply(call, never)
    rig.clock.advance(29_999)
    await quiet()
    expect(runtime.calls.state).toBe(1)
    rig.clock.advance(1)
    await until(() => runtime.calls.state === 2)
    await rig.end()
  })

  test('takes over and tells what the events did not', async () => {
    const runtime = new FakeRuntime()
    runtime.item('agents/a', serving('a'))
    const rig = await following(runtime)
    rig.changes.length = 0
    runtime.corrupt('agents/a', serving('b'))
    rig.pod.refresh()
    await until(() => rig.divergences.length === 1)
    expect(rig.divergences).toEqual([{ items: new Set(['agents/a']), bundles: false, rest: false }])
    expect(rig.changes).toEqual([{ items: new Set(['agents/a']), bundles: false, link: false, restarted: false }])
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    await rig.end()
  })

  test('compares nothing when events overtook the state', async () => {
    const runtime = new FakeRuntime()
    runtime.complete = true
    const rig = await following(runtime)
    runtime.after = async () => {
      runtime.after = () => undefined
      runtime.item('agents/a', serving('a'))
      await until(() => rig.pod.state?.items.has('agents/a') === true)
    }
    rig.pod.refresh()
    await until(() => rig.pod.state?.items.has('agents/a') === true)
    await quiet()
    expect(rig.pod.state?.items.has('agents/a')).toBe(true)
    await rig.clock.scheduled(1000)
    rig.clock.advance(1000)
    await until(() => runtime.calls.state === 3)
    await quiet()
    expect(rig.divergences).toEqual([])
    await rig.end()
  })

  test('reads again and opens another stream when the events stay behind', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    runtime.isSilent = true
    runtime.item('agents/a', serving('a'))
    rig.pod.refresh()
    await rig.clock.scheduled(1000)
    rig.clock.advance(1000)
    await until(() => rig.pod.state?.items.has('agents/a') === true && runtime.calls.events === 2)
    await rig.end()
  })
})

describe('apply', () => {
  test('goes to the process whose state is known and resolves when the state holds what it did', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    const revision = hashText('a')
    const response = await rig.pod.apply(
      {
        ...call,
        fence: 7,
        items: { 'agents/a': { owner: 'operator', revision, definition: {} } },
        bundles: { support: { hash: revision, files: {} } },
        secrets: { 'llm/key': { version: 'v1', value: 'canary' } },
        pins: { support: revision },
        complete: { expected: 1 },
      },
      never,
    )
    expect(response.lastEventId).toBe('boot-1/2')
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    expect(rig.pod.state).toMatchObject({ fence: 7, claimedBy: 'default/main', complete: true })
    expect(rig.pod.state?.secrets).toEqual(new Map([['llm/key', 'v1']]))
    expect(runtime.calls.state).toBe(1)
    await rig.end()
  })

  test('knows that a claim was given up', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    await rig.pod.apply({ ...call, release: true }, never)
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    await rig.end()
  })

  test('changes nothing when it only checks', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    rig.changes.length = 0
    await rig.pod.apply({ ...call, mode: 'check', fence: 9 }, never)
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    expect(rig.changes).toEqual([])
    await rig.end()
  })

  test('reads the state when the events do not come', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    runtime.isSilent = true
    const items = { 'agents/a': { owner: 'operator', revision: hashText('a'), definition: {} } } as const
    const applied = rig.pod.apply({ ...call, items }, never)
    await rig.clock.scheduled(5000)
    rig.clock.advance(5000)
    await rig.clock.scheduled(1000)
    rig.clock.advance(1000)
    await applied
    expect(told(rig.pod.state)).toEqual(expected(runtime))
    await rig.end()
  })

  test('throws what the runtime refused and reads the state, which must have been wrong', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    runtime.fence = 5
    await expect(rig.pod.apply(call, never)).rejects.toMatchObject({ problem: { reason: 'StaleFence' } })
    await until(() => rig.pod.state?.fence === 5)
    expect(rig.pod.link).toEqual({ type: 'reachable' })
    await rig.end()
  })

  test('leads to the new process when the old one is gone', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    runtime.bootId = 'boot-9'
    await expect(rig.pod.apply(call, never)).rejects.toMatchObject({ problem: { reason: 'WrongTarget' } })
    await until(() => rig.pod.state?.bootId === 'boot-9')
    await rig.end()
  })

  test('rejects when the old process is gone only after the new one’s state was read', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    runtime.restart()
    await until(() => rig.pod.phase === 'backingOff')
    const bootIds = rig.pod.apply(call, never).catch(() => rig.pod.state?.bootId)
    await quiet()
    rig.clock.advance(1000)
    expect(await bootIds).toBe('boot-2')
    await rig.end()
  })

  test('is not held up by a runtime that hangs once its signal aborts', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    runtime.before = (method) => (method === 'apply' ? new Promise<void>(() => undefined) : undefined)
    const controller = new AbortController()
    const applied = rig.pod.apply(call, controller.signal)
    controller.abort('enough')
    await expect(applied).rejects.toBe('enough')
    expect(rig.pod.link).toEqual({ type: 'reachable' })
    await rig.end()
  })

  test('is not undone by a state that was read before it', async () => {
    const runtime = new FakeRuntime()
    const rig = await following(runtime)
    // With an etag that still held there would be no state in the answer.
    runtime.item('agents/a', serving('a'))
    await until(() => rig.pod.state?.items.has('agents/a') === true)
    const held = Promise.withResolvers<void>()
    const read = Promise.withResolvers<void>()
    runtime.after = (method) => {
      if (method !== 'state') return
      read.resolve()
      return held.promise
    }
    rig.pod.refresh()
    await read.promise
    await rig.pod.apply({ ...call, fence: 8, secrets: { 'llm/key': { version: 'v1', value: 'x' } } }, never)
    held.resolve()
    await quiet()
    expect(rig.pod.state?.fence).toBe(8)
    expect(rig.pod.state?.secrets.size).toBe(1)
    await rig.end()
  })
})

describe('pods that say the same', () => {
  test('share their item states, and what no pod says any more is forgotten', async () => {
    const interner = createStateInterner()
    const runtimes = [new FakeRuntime(), new FakeRuntime()]
    for (const runtime of runtimes) for (let n = 0; n < 50; n += 1) runtime.item(`agents/a${n}`, serving(`a${n}`))
    const [one, two] = await Promise.all(runtimes.map((runtime) => following(runtime, interner)))
    expect(one?.pod.state?.items.get('agents/a7')).toBe(two?.pod.state?.items.get('agents/a7'))
    expect(interner.size).toBe(50)
    runtimes[0]?.item('agents/a7', serving('other'))
    await until(() => interner.size === 51)
    runtimes[1]?.restart()
    two?.clock.advance(1000)
    await until(() => two?.pod.state?.bootId === 'boot-2')
    expect(interner.size).toBe(50)
    await one?.end()
    await two?.end()
    expect(interner.size).toBe(0)
  })
})

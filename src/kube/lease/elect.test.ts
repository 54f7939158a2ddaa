import { describe, expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { createVirtualClock, type VirtualClock } from '../../clock.fixture.ts'
import { createLeaderMetrics } from '../metrics/leader.ts'
import { type ElectionOutcome, type Leadership, runElected } from './elect.ts'
import { LeaseServer, Process, refusal, SILENT, settleDown } from './lease.fixture.ts'
import { stampLease } from './stamp.ts'

const LEASE = { namespace: 'x', name: 'leader' }

function world() {
  const clock = createVirtualClock()
  const server = new LeaseServer()
  const stand = (identity: string, process = new Process(server, clock)) => elect(identity, process)
  return { clock, server, elect: stand }
}

/** A process that stands for election; leads until it is told to stop, or until `finish`. */
function elect(identity: string, process: Process) {
  const stop = new AbortController()
  const registry = new Registry()
  const finished = Promise.withResolvers<void>()
  const seat: { leadership?: Leadership; outcome?: ElectionOutcome } = {}
  const lead = (leadership: Leadership) => {
    seat.leadership = leadership
    return finished.promise
  }
  const metrics = createLeaderMetrics(registry).of('leader')
  const common = { client: process, lease: LEASE, identity, clock: process.clock, log: SILENT }
  const ended = runElected({ ...common, metrics, random: () => 0.999 }, lead, stop.signal)
  void ended.then((outcome) => {
    seat.outcome = outcome
  })
  return { process, stop, seat, registry, ended, finish: finished.resolve }
}

const pass = async (clock: VirtualClock, ms: number) => {
  await settleDown()
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100)
    await settleDown()
  }
}

const specOf = (server: LeaseServer) => Object(server.get(LEASE)?.spec)

describe('an election', () => {
  test('gives a lease that nobody has to the first, with a fence, and lets the second wait', async () => {
    const { clock, server, elect: stand } = world()
    const [a, b] = [stand('a'), stand('b')]
    await settleDown()
    expect(a.seat.leadership?.isHeld()).toBe(true)
    expect(a.seat.leadership?.fence).toBe(101)
    expect(specOf(server)).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0 })
    await pass(clock, 60_000)
    expect(a.seat.leadership?.isHeld()).toBe(true)
    expect(b.seat.leadership).toBeUndefined()
    expect(await a.registry.metrics()).toContain('leader_election_master_status{name="leader"} 1')
    expect(await b.registry.metrics()).toContain('leader_election_master_status{name="leader"} 0')
  })

  test('renews every 2 s with one request', async () => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 20_000)
    expect(a.process.requests).toEqual(['get', 'create', ...Array<string>(10).fill('patch')])
  })

  test('passes a silent holder over once it was not seen to renew for 15 s', async () => {
    const { clock, server, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 4_000)
    a.process.stop()
    const b = stand('b')
    await pass(clock, 14_900)
    expect(b.seat.leadership).toBeUndefined()
    await pass(clock, 2_100)
    expect(b.seat.leadership?.isHeld()).toBe(true)
    expect(b.seat.leadership?.fence).toBeGreaterThan(a.seat.leadership?.fence ?? Number.NaN)
    expect(specOf(server)).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 })
  })

  test('tells a holder that was stopped that it holds nothing, before any of its timers fires', async () => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 4_000)
    a.process.stop()
    clock.advance(10_000)
    a.process.go()
    expect(a.seat.leadership?.isHeld()).toBe(false)
    expect(a.seat.leadership?.signal.reason).toMatchObject({ name: 'LeaseLost', reason: 'Expired' })
    expect(await a.ended).toMatchObject({ type: 'lost', error: { reason: 'Expired' } })
  })

  test.each(['down', 'hanging', 'deaf'] as const)('ends after 10 s when the API server is %s', async (path) => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 2_000)
    a.process.path = path
    await pass(clock, 9_900)
    const { leadership } = a.seat
    // Of an answer that was lost nobody knows whether it was written: it does not count.
    expect(leadership?.isHeld()).toBe(true)
    await pass(clock, 100)
    expect(leadership?.signal.aborted).toBe(true)
    expect(await a.ended).toMatchObject({ type: 'lost', error: { reason: 'Expired' } })
    expect(await a.registry.metrics()).toContain('leader_election_master_status{name="leader"} 0')
    await pass(clock, 5_000)
    expect(clock.running()).toBe(0)
  })

  test('counts a renewal from when it was sent, however late its answer', async () => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    await settleDown()
    a.process.late = Promise.withResolvers()
    await pass(clock, 6_000)
    a.process.late.resolve()
    await settleDown()
    a.process.path = 'down'
    await pass(clock, 5_900)
    expect(a.seat.leadership?.isHeld()).toBe(true)
    await pass(clock, 100)
    expect(a.seat.leadership?.isHeld()).toBe(false)
  })

  test('goes on when the API server is back in time', async () => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 2_000)
    for (const path of ['down', 'hanging', 'deaf'] as const) {
      a.process.path = path
      await pass(clock, 5_000)
      a.process.path = 'up'
      await pass(clock, 10_000)
    }
    expect(a.seat.leadership?.isHeld()).toBe(true)
    expect(await a.registry.metrics()).toMatch(/leader_election_slowpath_total{name="leader"} [1-9]/)
  })

  test('waits for an API server that is away at the start', async () => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    a.process.path = 'down'
    await pass(clock, 60_000)
    expect(a.seat).toEqual({})
    a.process.path = 'up'
    await pass(clock, 2_000)
    expect(a.seat.leadership?.isHeld()).toBe(true)
  })

  test('takes what it wrote itself when the answer to that was lost', async () => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    a.process.path = 'deaf'
    await pass(clock, 1_000)
    a.process.path = 'up'
    await pass(clock, 10_000)
    expect(a.seat.leadership?.isHeld()).toBe(true)
  })

  test.each(['Taken', 'Deleted'] as const)('ends at the next renewal when its lease is %s by hand', async (reason) => {
    const { clock, server, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 1_000)
    if (reason === 'Deleted') server.delete(LEASE)
    else server.patch(LEASE, { spec: { holderIdentity: 'somebody' } })
    await pass(clock, 1_000)
    expect(await a.ended).toMatchObject({ type: 'lost', error: { reason } })
    expect(a.seat.leadership?.isHeld()).toBe(false)
  })

  test('holds through jumps of the wall clock, and nobody else takes the lease', async () => {
    const { clock, elect: stand } = world()
    const [a, b] = [stand('a'), stand('b')]
    await pass(clock, 5_000)
    for (const jump of [3_600_000, -7_200_000, 86_400_000]) {
      clock.jump(jump)
      await pass(clock, 20_000)
    }
    expect(a.seat.leadership?.isHeld()).toBe(true)
    expect(b.seat.leadership).toBeUndefined()
  })

  test('is not held up by somebody who only labels a dead holder’s lease', async () => {
    const { clock, server, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 1_000)
    a.process.stop()
    const b = stand('b')
    for (let second = 0; second < 18; second++) {
      server.patch(LEASE, {})
      await pass(clock, 1_000)
    }
    expect(b.seat.leadership?.isHeld()).toBe(true)
  })
})

describe('the end of a leadership', () => {
  test('keeps the lease until what it led has ended, then gives it back to the next at once', async () => {
    const { clock, server, elect: stand } = world()
    const [a, b] = [stand('a'), stand('b')]
    await pass(clock, 2_000)
    a.stop.abort(new Error('SIGTERM'))
    expect(a.seat.leadership?.signal.reason).toEqual(new Error('SIGTERM'))
    await pass(clock, 25_000)
    expect(a.seat.leadership?.isHeld()).toBe(true)
    a.finish()
    expect(await a.ended).toEqual({ type: 'ended' })
    expect(a.seat.leadership?.isHeld()).toBe(false)
    expect(specOf(server).holderIdentity).toBe('')
    await pass(clock, 2_000)
    expect(b.seat.leadership?.isHeld()).toBe(true)
  })

  test('gives the lease back also when a renewal is under way', async () => {
    const { clock, server, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 1_000)
    a.process.path = 'deaf'
    await pass(clock, 1_000)
    a.process.path = 'up'
    a.finish()
    expect(await a.ended).toEqual({ type: 'ended' })
    expect(specOf(server).holderIdentity).toBe('')
  })

  test('comes in bounded time when the API server does not answer', async () => {
    const { clock, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 1_000)
    a.process.path = 'hanging'
    a.finish()
    await pass(clock, 5_000)
    expect(a.seat.outcome).toEqual({ type: 'ended' })
    expect(clock.running()).toBe(0)
  })

  test('comes at once for who still waits', async () => {
    const { clock, elect: stand } = world()
    stand('a')
    await settleDown()
    const b = stand('b')
    await pass(clock, 1_000)
    b.stop.abort()
    expect(await b.ended).toEqual({ type: 'ended' })
  })
})

test.each([
  [403, 'Forbidden'],
  [404, 'NotFound'],
])('a %i is told and not waited for', async (code, reason) => {
  const { clock, server, elect: stand } = world()
  const process = new Process(server, clock)
  process.refused = refusal(code, reason)
  const refused = { type: 'refused', error: { code } }
  expect(await stand('a', process).ended).toMatchObject(refused)
  const stamping = stampLease(
    { client: process, lease: LEASE, identity: 'b', clock, log: SILENT },
    new AbortController().signal,
  )
  expect(await stamping).toMatchObject(refused)
})

describe('a stamp', () => {
  const NEVER = new AbortController().signal

  test('gives a fence by one write, and the next one a greater', async () => {
    const { clock, server } = world()
    const process = new Process(server, clock)
    const stamp = (identity: string) =>
      stampLease({ client: process, lease: LEASE, identity, clock, log: SILENT }, NEVER)
    expect(await stamp('a')).toEqual({ type: 'stamped', fence: 101 })
    expect(await stamp('b')).toEqual({ type: 'stamped', fence: 102 })
    expect(process.requests).toEqual(['get', 'create', 'get', 'patch'])
  })

  test('waits for an API server that does not answer, and ends when it is told to stop', async () => {
    const { clock, server } = world()
    const process = new Process(server, clock)
    process.path = 'down'
    const stop = new AbortController()
    const stamp = (signal: AbortSignal) =>
      stampLease({ client: process, lease: LEASE, identity: 'a', clock, log: SILENT }, signal)
    const stopped = stamp(stop.signal)
    const stamped = stamp(NEVER)
    await pass(clock, 5_000)
    stop.abort()
    expect(await stopped).toEqual({ type: 'stopped' })
    expect(process.requests).toHaveLength(6)
    process.path = 'up'
    await pass(clock, 2_000)
    expect(await stamped).toEqual({ type: 'stamped', fence: 101 })
  })

  test('ends the leadership of who was elected', async () => {
    const { clock, server, elect: stand } = world()
    const a = stand('a')
    await pass(clock, 1_000)
    await stampLease({ client: new Process(server, clock), lease: LEASE, identity: 'b', clock, log: SILENT }, NEVER)
    await pass(clock, 1_000)
    expect(await a.ended).toMatchObject({ type: 'lost', error: { reason: 'Taken' } })
  })
})

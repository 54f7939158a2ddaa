import { afterEach, expect, test } from '@jest/globals'
import { type Clock, systemClock } from '../../src/clock.ts'
import { createClient, type KubeClient } from '../../src/kube/client.ts'
import {
  type ElectionOutcome,
  type Leadership,
  type LeaseClient,
  type LeaseTimings,
  runElected,
  stampLease,
} from '../../src/kube/index.ts'
import { LEASES } from '../../src/kube/lease/record.ts'
import { kubeconfigConfig } from '../../src/kube/transport/config.ts'
import { createTransport } from '../../src/kube/transport/transport.ts'
import type { Log } from '../../src/log.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'

const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
/** The usual ones, five times as fast. */
const TIMINGS: LeaseTimings = { durationMs: 3_000, renewDeadlineMs: 2_000, retryMs: 400 }

let running = new AbortController()
let ends: Promise<unknown>[] = []
afterEach(async () => {
  running.abort()
  await Promise.all(ends)
  running = new AbortController()
  ends = []
})

/** A process whose requests stop to reach the server, and whose wall clock can jump. */
class Process implements LeaseClient {
  readonly clock: Clock
  isSilent = false
  offsetMs = 0
  readonly #client: KubeClient

  constructor(client: KubeClient) {
    this.#client = client
    this.clock = { ...systemClock, now: () => Date.now() + this.offsetMs }
  }

  get: LeaseClient['get'] = (type, name, signal) => this.#send(() => this.#client.get(type, name, signal))
  create: LeaseClient['create'] = (type, object, signal) => this.#send(() => this.#client.create(type, object, signal))
  patch: LeaseClient['patch'] = (type, name, patch, signal) =>
    this.#send(() => this.#client.patch(type, name, patch, signal))

  #send<T>(perform: () => Promise<T>): Promise<T> {
    return this.isSilent ? new Promise<T>(() => {}) : perform()
  }
}

/** Stands for election until the test ends or `stop` aborts. */
function stand(client: KubeClient, name: string, identity: string) {
  const process = new Process(client)
  const stop = new AbortController()
  const seat: { leadership?: Leadership; since?: number; outcome?: ElectionOutcome } = {}
  const ended = runElected(
    {
      client: process,
      lease: { namespace: 'default', name },
      identity,
      clock: process.clock,
      log: SILENT,
      metrics: { leads: () => {}, slowPath: () => {} },
      timings: TIMINGS,
    },
    (leadership) => {
      seat.leadership = leadership
      seat.since = performance.now()
      return new Promise((resolve) => leadership.signal.addEventListener('abort', () => resolve(), { once: true }))
    },
    AbortSignal.any([running.signal, stop.signal]),
  )
  ends.push(
    ended.then((outcome) => {
      seat.outcome = outcome
    }),
  )
  const leads = () => until(`${identity} leads`, () => seat.leadership?.isHeld() === true, 20_000)
  return { process, stop, seat, ended, leads }
}

describeCluster('a lease on a real API server', () => {
  const cluster = useCluster()

  const clientOf = async (user?: string) => {
    const config = await kubeconfigConfig({ file: cluster().kubeconfig(user) })
    return createClient(createTransport(config, { signal: running.signal }))
  }

  const holderOf = async (client: KubeClient, name: string) => {
    const lease = await client.get(LEASES, { namespace: 'default', name }, running.signal)
    return Object(lease?.spec).holderIdentity
  }

  test('goes to one of two that stand at once, and to the other within 3 s of a graceful end', async () => {
    const client = await clientOf()
    const [a, b] = [stand(client, 'graceful', 'a'), stand(client, 'graceful', 'b')]
    await until('one leads', () => a.seat.leadership !== undefined || b.seat.leadership !== undefined)
    const [first, second] = a.seat.leadership === undefined ? [b, a] : [a, b]
    expect(second.seat.leadership).toBeUndefined()

    const stoppedAt = performance.now()
    first.stop.abort()
    expect(await first.ended).toEqual({ type: 'ended' })
    await second.leads()
    expect((second.seat.since ?? Number.NaN) - stoppedAt).toBeLessThan(3_000)
    expect(second.seat.leadership?.fence).toBeGreaterThan(first.seat.leadership?.fence ?? Number.NaN)
  })

  test('is taken from a holder that has gone silent, after that holder knows that it leads no more', async () => {
    const client = await clientOf()
    const a = stand(client, 'silent', 'a')
    await a.leads()
    const b = stand(client, 'silent', 'b')
    a.process.isSilent = true
    expect(await a.ended).toMatchObject({ type: 'lost', error: { reason: 'Expired' } })
    const lostAt = performance.now()
    await b.leads()
    expect(b.seat.since).toBeGreaterThan(lostAt)
    expect(b.seat.leadership?.fence).toBeGreaterThan(a.seat.leadership?.fence ?? Number.NaN)
    expect(await holderOf(client, 'silent')).toBe('b')
  })

  test('stays where it is while wall clocks jump', async () => {
    const client = await clientOf()
    const a = stand(client, 'jumps', 'a')
    await a.leads()
    const b = stand(client, 'jumps', 'b')
    const renewTime = async () =>
      Object((await client.get(LEASES, { namespace: 'default', name: 'jumps' }, running.signal))?.spec).renewTime
    for (const offsetMs of [3_600_000, -3_600_000]) {
      a.process.offsetMs = offsetMs
      b.process.offsetMs = -offsetMs
      const since = performance.now()
      await until('the jump is written', async () => Math.abs(Date.parse(await renewTime()) - Date.now()) > 3_000_000)
      await until('others would have taken over', () => performance.now() - since > TIMINGS.durationMs + 1_000)
      expect(a.seat.leadership?.isHeld()).toBe(true)
      expect(b.seat.leadership).toBeUndefined()
    }
  })

  test('is given back with an empty holder, which the API server takes', async () => {
    const client = await clientOf()
    const a = stand(client, 'released', 'a')
    await a.leads()
    a.stop.abort()
    await a.ended
    expect(await holderOf(client, 'released')).toBe('')
  })

  test('gives fences to stamps too, each greater than the last, and a leader sees that it was taken', async () => {
    const client = await clientOf()
    const a = stand(client, 'stamped', 'a')
    await a.leads()
    const stamp = async (identity: string) => {
      const lease = { namespace: 'default', name: 'stamped' }
      const stamped = await stampLease({ client, lease, identity, clock: systemClock, log: SILENT }, running.signal)
      return stamped.type === 'stamped' ? stamped.fence : Number.NaN
    }
    const [first, second] = [await stamp('b'), await stamp('c')]
    expect(first).toBeGreaterThan(a.seat.leadership?.fence ?? Number.NaN)
    expect(second).toBeGreaterThan(first)
    expect(await a.ended).toMatchObject({ type: 'lost', error: { reason: 'Taken' } })
  })

  test('is refused in words where there is no namespace, and where there is no right', async () => {
    const stamp = async (client: KubeClient, namespace: string) =>
      stampLease(
        { client, lease: { namespace, name: 'x' }, identity: 'a', clock: systemClock, log: SILENT },
        running.signal,
      )
    const missing = await stamp(await clientOf(), 'missing')
    expect(missing).toMatchObject({ type: 'refused', error: { code: 404 } })
    await cluster().addUser('nobody')
    const forbidden = await stamp(await clientOf('nobody'), 'default')
    expect(forbidden).toMatchObject({ type: 'refused', error: { code: 403 } })
    expect(forbidden.type === 'refused' && forbidden.error.message).toContain('cannot get resource "leases"')
  })
})

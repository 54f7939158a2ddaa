import { describe, expect, test } from '@jest/globals'
import type { Problem } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import type { KubeObject } from '../../kube/types.ts'
import type { PodConnection } from '../pods/index.ts'
import type { PodLink, RuntimeTarget } from '../ports.ts'
import { faultAfter, isPodReady, type PodAddress, Pods, podAddressOf, type Reach, viewOf } from './pods.ts'

type PodParts = {
  readonly uid?: string
  readonly ip?: string
  readonly phase?: string
  readonly ready?: string
  readonly isLeaving?: boolean
}

const podOf = (
  name: string,
  { uid = `uid-${name}`, ip = '10.0.0.1', phase = 'Running', ready = 'True', isLeaving = false }: PodParts = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'team', name, uid, ...(isLeaving && { deletionTimestamp: '2026-01-01T00:00:00Z' }) },
  status: { phase, podIP: ip, conditions: [{ type: 'Ready', status: ready }] },
})
const REFUSED: Problem = { reason: 'RuntimeUnreachable', message: 'connection refused' }
const REACHABLE: PodLink = { type: 'reachable' }
const addressOf = (host: string): PodAddress => ({
  host,
  port: 7778,
  tls: undefined,
  runBy: 'others',
  tokens: () => ['secret'],
})

/** Pods whose connections stay as they are told to be. */
function make() {
  const clock = createVirtualClock()
  const log: string[] = []
  const connections = new Map<string, { link: PodLink; state: object | undefined }>()
  const reached: Reach[] = []
  const never = () => Promise.reject(new Error('not called'))
  const pods = new Pods(
    {
      clock,
      reach: (to) => {
        const { host } = to
        reached.push(to)
        const target: RuntimeTarget = { state: never, apply: never, events: never as never }
        return { ...target, close: () => void log.push(`closed ${host}`) }
      },
      connect: ({ name }, _target, _told, signal) => {
        log.push(`connected ${name}`)
        signal.addEventListener('abort', () => log.push(`ended ${name}`))
        const connection = { link: { type: 'connecting' } as PodLink, phase: 'reading' as const, state: undefined }
        connections.set(name, connection)
        return Object.assign(connection, {
          apply: never,
          refresh: () => void log.push(`asked ${name} again`),
          askAnew: () => void log.push(`asked ${name} anew`),
          ended: Promise.resolve(),
        }) as PodConnection
      },
      onChange: () => undefined,
      onIncident: () => undefined,
    },
    new AbortController().signal,
  )
  return { pods, log, clock, connections, reached }
}

describe('a pod', () => {
  test.each<[string, PodParts, string | undefined]>([
    ['has an address', {}, '10.0.0.1'],
    ['has none before it is given one', { ip: '' }, undefined],
    ['has none once it is on its way out', { isLeaving: true }, undefined],
    ['has none once it has ended', { phase: 'Succeeded' }, undefined],
    ['has none once it has failed', { phase: 'Failed' }, undefined],
  ])('%s', (_, parts, expected) => {
    expect(podAddressOf(podOf('p', parts))).toBe(expected)
  })

  test('is Ready when Kubernetes says so', () => {
    const pod = podOf('p')
    expect([isPodReady(pod), isPodReady(podOf('p', { ready: 'False' })), isPodReady({ ...pod, status: {} })]).toEqual([
      true,
      false,
      false,
    ])
    expect([podAddressOf({ ...pod, status: undefined }), isPodReady({ ...pod, status: undefined })]).toEqual([
      undefined,
      false,
    ])
  })
})

describe('following pods', () => {
  test.each<[string, readonly KubeObject[], readonly string[], boolean]>([
    ['leaves one that stays as it is', [podOf('p')], [], false],
    ['tells when one is not Ready any more', [podOf('p', { ready: 'False' })], [], true],
    ['ends one that is gone', [], ['ended p', 'closed 10.0.0.1'], true],
    ['ends one that is on its way out', [podOf('p', { isLeaving: true })], ['ended p', 'closed 10.0.0.1'], true],
    ['begins one that joins', [podOf('p'), podOf('q', { ip: '10.0.0.2' })], ['connected q'], true],
    [
      'begins anew with another of the same name',
      [podOf('p', { uid: 'other' })],
      ['ended p', 'closed 10.0.0.1', 'connected p'],
      true,
    ],
    [
      'begins anew at another address',
      [podOf('p', { ip: '10.0.0.9' })],
      ['ended p', 'closed 10.0.0.1', 'connected p'],
      true,
    ],
  ])('%s', (...[, next, expected, changed]) => {
    const { pods, log } = make()
    pods.follow([podOf('p')], addressOf)
    log.length = 0
    expect(pods.follow(next, addressOf)).toBe(changed)
    expect(log).toEqual(expected)
  })

  describe('whose certificate authority changes', () => {
    const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`
    const trusting = (ca: string, runBy: PodAddress['runBy'] = 'others') => {
      const tls = { ca, serverName: 'main' }
      return (host: string): PodAddress => ({ ...addressOf(host), runBy, tls })
    }

    test('goes on while the old one is trusted too, and asks the pod at once whether it is', () => {
      const { pods, log, reached } = make()
      pods.follow([podOf('p')], trusting(pem('one')))
      pods.follow([podOf('p')], trusting(pem('one')))
      expect(log).toEqual(['connected p'])
      expect(pods.follow([podOf('p')], trusting(pem('two') + pem('one')))).toBe(false)
      expect(log).toEqual(['connected p', 'asked p again'])
      expect(reached.at(-1)?.tls?.()).toEqual({ ca: pem('two') + pem('one'), serverName: 'main' })
    })

    test('begins anew where the old one is trusted no more, and somebody else runs it', () => {
      const { pods, log } = make()
      pods.follow([podOf('p')], trusting(pem('one')))
      pods.follow([podOf('p')], trusting(pem('two')))
      expect(log).toEqual(['connected p', 'ended p', 'closed 10.0.0.1', 'connected p'])
    })

    test('goes on where the operator takes away an old one of its own', () => {
      const { pods, log } = make()
      pods.follow([podOf('p')], trusting(pem('two') + pem('one'), 'operator'))
      pods.follow([podOf('p')], trusting(pem('two'), 'operator'))
      expect(log).toEqual(['connected p', 'asked p again'])
    })

    test('begins anew where there was none before', () => {
      const { pods, log } = make()
      pods.follow([podOf('p')], addressOf)
      pods.follow([podOf('p')], trusting('one'))
      expect(log).toEqual(['connected p', 'ended p', 'closed 10.0.0.1', 'connected p'])
    })
  })

  test('calls each pod with what it said it accepts, as that and the tokens change', () => {
    const { pods, connections, reached } = make()
    const choosing = (name: string) => (host: string) => ({
      ...addressOf(host),
      tokens: (accepted: readonly string[] | undefined) => [`${name} for ${accepted ?? 'nobody knows'}`],
    })
    pods.follow([podOf('p')], choosing('one'))
    expect(reached[0]?.tokens()).toEqual(['one for nobody knows'])
    const connection = connections.get('p')
    if (connection) Object.assign(connection, { link: REACHABLE, state: { credentials: { tokenIds: ['a', 'b'] } } })
    expect(reached[0]?.tokens()).toEqual(['one for a,b'])
    pods.follow([podOf('p')], choosing('two'))
    expect(reached[0]?.tokens()).toEqual(['two for a,b'])
    expect(reached).toHaveLength(1)
    if (connection) connection.link = { type: 'unreachable', problem: REFUSED }
    expect(reached[0]?.tokens()).toEqual(['two for nobody knows'])
  })

  test('keeps those that are connected while what it takes to call them is missing, and begins none', () => {
    const { pods, log } = make()
    pods.follow([podOf('p')], addressOf)
    expect(pods.follow([podOf('p', { ready: 'False' }), podOf('q')], undefined)).toBe(true)
    expect(pods.entries.map(({ name, isReady }) => [name, isReady])).toEqual([['p', false]])
    expect(log).toEqual(['connected p'])
  })
})

describe('how long a first state is waited for', () => {
  test('is 2 s from when the pod was found', () => {
    const { pods, clock } = make()
    expect(pods.awaitedMs).toBe(0)
    pods.follow([podOf('p')], addressOf)
    clock.advance(1_500)
    expect(pods.awaitedMs).toBe(500)
    clock.advance(500)
    expect(pods.awaitedMs).toBe(0)
    pods.follow([podOf('p'), podOf('q')], addressOf)
    expect(pods.awaitedMs).toBe(2_000)
  })

  test('is 2 s again from when Kubernetes calls it Ready, and then it is asked anew', () => {
    const { pods, clock, connections, log } = make()
    pods.follow([podOf('p', { ready: 'False' })], addressOf)
    clock.advance(10_000)
    expect(pods.awaitedMs).toBe(0)
    pods.follow([podOf('p')], addressOf)
    expect(log).toEqual(['connected p', 'asked p anew'])
    expect(pods.awaitedMs).toBe(2_000)
    pods.follow([podOf('p')], addressOf)
    pods.follow([podOf('p', { ready: 'False' })], addressOf)
    const connection = connections.get('p')
    if (connection) Object.assign(connection, { link: REACHABLE, state: {} })
    pods.follow([podOf('p')], addressOf)
    expect(log).toEqual(['connected p', 'asked p anew'])
  })

  test.each<PodLink>([{ type: 'reachable' }, { type: 'unreachable', problem: REFUSED }])(
    'ends when it is %p',
    (link) => {
      const { pods, connections } = make()
      pods.follow([podOf('p')], addressOf)
      const connection = connections.get('p')
      if (connection) connection.link = link
      expect(pods.awaitedMs).toBe(0)
    },
  )
})

test('the pause after a fault doubles from half a second to 30 s', () => {
  let fault: ReturnType<typeof faultAfter> | undefined
  const pauses = Array.from({ length: 9 }, () => {
    fault = faultAfter(fault, REFUSED, 1_000)
    return fault.retryAt - 1_000
  })
  expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
})

test('a fault shows as a pod that does not answer, unless its link says why itself', () => {
  const { pods, connections } = make()
  pods.follow([podOf('p')], addressOf)
  const [entry] = pods.entries
  const connection = connections.get('p')
  if (entry === undefined || connection === undefined) throw new Error('it is not followed')
  const linkWith = (link: PodLink) => {
    connection.link = link
    return viewOf({ ...entry, fault: faultAfter(undefined, REFUSED, 0) }).link
  }
  expect(linkWith({ type: 'reachable' })).toEqual({ type: 'unreachable', problem: REFUSED })
  const problem: Problem = { reason: 'Unauthorized', message: 'wrong token' }
  expect(linkWith({ type: 'unreachable', problem })).toEqual({ type: 'unreachable', problem })
  expect(linkWith({ type: 'connecting' })).toEqual({ type: 'connecting' })
})

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import {
  type FakeApiServer,
  failure,
  startFakeApiServer,
  stream,
  until,
  watchLine,
} from '../../test/api/harness/index.ts'
import { createVirtualClock } from '../clock.fixture.ts'
import { createLog } from '../log.ts'
import { startOperator } from './operator.ts'

let fake: FakeApiServer
beforeEach(async () => {
  fake = await startFakeApiServer()
})
afterEach(async () => {
  await fake[Symbol.asyncDispose]()
})

const LISTED = { metadata: { resourceVersion: '7', annotations: { 'k8s.io/initial-events-end': 'true' } } }
const WATCHED = /^\/(api\/v1|apis\/(midflight\.dev|apps|policy|networking\.k8s\.io))\//
const LEASES = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/ops\/leases/

/** An operator of a cluster that holds nothing. */
function start(leaderElection: boolean) {
  fake.always('GET', WATCHED, () => stream([watchLine('BOOKMARK', LISTED)], { after: 'hang' }))
  const lines: string[] = []
  const log = createLog({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } })
  const clock = createVirtualClock()
  const stop = new AbortController()
  const cluster = { server: fake.url, ca: { file: fake.caFile ?? '' }, credentials: { type: 'anonymous' } } as const
  const options = {
    installation: { isInCluster: false, image: undefined, imagePullPolicy: undefined },
    cluster,
    namespaces: [],
    workers: 2,
    leaseNamespace: 'ops',
    identity: 'one',
    registry: new Registry(),
  }
  const operator = startOperator({ ...options, leaderElection, log, clock }, stop.signal)
  return { operator, stop, clock, logged: () => lines.join('') }
}

describe('an operator', () => {
  test.each([true, false])(
    'that may not use the Lease says so and leaves nothing running, with an election %s',
    async (leaderElection) => {
      fake.always('GET', LEASES, () => failure(403, 'Forbidden', 'not yours'))
      const { operator, clock, logged } = start(leaderElection)
      expect(await operator.ended).toMatchObject({ type: 'refused', error: { code: 403, message: 'not yours' } })
      expect(operator.phase).toBe('stopping')
      await until('no timer runs', () => clock.running() === 0)
      await until('no connection is open', () => fake.connections === 0)
      expect(logged()).not.toContain('trying again')
    },
  )

  test('that is stopped before it knows what there is ends, and leaves nothing running', async () => {
    const { operator, stop, clock } = start(true)
    stop.abort()
    expect(await operator.ended).toEqual({ type: 'ended' })
    await until('no timer runs', () => clock.running() === 0)
    await until('no connection is open', () => fake.connections === 0)
  })
})

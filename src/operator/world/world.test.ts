import { expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { startFakeApiServer, stream, watchLine } from '../../../test/api/harness/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import { systemClock } from '../../clock.ts'
import {
  createClient,
  createTransport,
  createWatchMetrics,
  type KubeClient,
  type KubeObject,
  type WatchClient,
} from '../../kube/index.ts'
import { createLog } from '../../log.ts'
import { createCatalogue } from './catalogue.ts'
import { runtimesIn, watchWorld } from './world.ts'

const never = () => new Promise<never>(() => undefined)
const silent: KubeClient & WatchClient = {
  get: never,
  list: never,
  create: never,
  patch: never,
  delete: never,
  request: never,
  watch: never,
}

test('a watch that neither works nor tries for 20 minutes is not alive', () => {
  const clock = createVirtualClock()
  const log = createLog({ level: 'error', format: 'json', destination: { write: () => undefined } })
  const metrics = createWatchMetrics(new Registry())
  const stop = new AbortController()
  const common = { client: silent, namespaces: [], clock, log, metrics }
  const world = watchWorld({ ...common, watchLog: () => () => undefined, onObject: () => undefined }, stop.signal)
  clock.advance(1_209_999)
  expect(world.isAlive).toBe(true)
  clock.advance(1)
  expect(world.isAlive).toBe(false)
  stop.abort()
})

test('the AgentRuntimes of a namespace are all of it, or those of some names that there are', () => {
  const objects = ['team/a', 'team/b', 'other/a'].map((key): KubeObject => {
    const [namespace = '', name = ''] = key.split('/')
    return { apiVersion: 'midflight.dev/v1alpha1', kind: 'AgentRuntime', metadata: { namespace, name }, spec: {} }
  })
  const catalogue = createCatalogue()
  for (const object of objects) catalogue.put(object)
  const found = (...names: [] | [ReadonlySet<string>]) =>
    [...runtimesIn({ catalogue, runtimes: () => objects }, 'team', ...names)].map(({ name }) => name)
  expect(found()).toEqual(['a', 'b'])
  expect(found(new Set(['b', 'gone']))).toEqual(['b'])
})

test.each([
  ['says so', { conditions: [null, { type: 'Ready', status: 'False' }, { type: 'Stalled', status: 'True' }] }, 1],
  ['says that it is not', { conditions: [{ type: 'Stalled', status: 'False' }] }, 0],
  ['says nothing yet', undefined, 0],
  ['has a status that somebody else wrote', { conditions: 'Stalled' }, 0],
])('an object that %s counts so as stalled', async (_, status, count) => {
  await using server = await startFakeApiServer()
  const metadata = { namespace: 'team', name: 'a', uid: 'a', generation: 1, resourceVersion: '7' }
  const agent = { apiVersion: 'midflight.dev/v1alpha1', kind: 'Agent', metadata, spec: { instructions: 'x' }, status }
  const annotations = { 'k8s.io/initial-events-end': 'true' }
  const end = watchLine('BOOKMARK', { metadata: { resourceVersion: '7', annotations } })
  server.always('GET', /./, ({ path }) =>
    stream(path.endsWith('/agents') ? [watchLine('ADDED', agent), end] : [end], { after: 'hang' }),
  )
  const stop = new AbortController()
  const { signal } = stop
  const config = { server: server.url, ca: { file: server.caFile ?? '' }, credentials: { type: 'anonymous' } } as const
  const client = createClient(createTransport(config, { signal }))
  const log = createLog({ level: 'error', format: 'json', destination: { write: () => undefined } })
  const common = { client, namespaces: [], clock: systemClock, log, metrics: createWatchMetrics(new Registry()) }
  const world = watchWorld({ ...common, watchLog: () => () => undefined, onObject: () => undefined }, signal)
  await world.synced(signal)
  expect(world.stalled()).toEqual({ Agent: count, Team: 0, Workflow: 0, AgentRuntime: 0 })
  stop.abort()
  await world.ended
})

import { expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { createVirtualClock } from '../../clock.fixture.ts'
import { createWatchMetrics, type KubeClient, type KubeObject, type WatchClient } from '../../kube/index.ts'
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

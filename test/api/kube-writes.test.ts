import { afterEach, expect, test } from '@jest/globals'
import { createVirtualClock } from '../../src/clock.fixture.ts'
import { systemClock } from '../../src/clock.ts'
import { createClient, type KubeClient } from '../../src/kube/client.ts'
import {
  createRecorder,
  dateCondition,
  type KubeObject,
  type ResourceType,
  statusApply,
  timestamp,
  writeFinalizer,
} from '../../src/kube/index.ts'
import { EVENTS } from '../../src/kube/recorder/event.ts'
import { kubeconfigConfig } from '../../src/kube/transport/config.ts'
import { createTransport } from '../../src/kube/transport/transport.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'

const CONFIG_MAPS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
}
const CLAIMS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'persistentvolumeclaims',
  kind: 'PersistentVolumeClaim',
  namespaced: true,
}
const FINALIZER = 'test.midflight.dev/mine'

let running = new AbortController()
afterEach(() => {
  running.abort()
  running = new AbortController()
})

describeCluster('writes to a real API server', () => {
  const cluster = useCluster()

  const connect = async () => {
    const config = await kubeconfigConfig({ file: cluster().kubeconfig() })
    return createClient(createTransport(config, { signal: running.signal }))
  }

  const createConfigMap = (client: KubeClient, name: string) => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' } }
    return client.create(CONFIG_MAPS, object, running.signal)
  }

  const change = (object: KubeObject, wanted: 'present' | 'absent') =>
    ({ type: CONFIG_MAPS, object, finalizer: FINALIZER, wanted }) as const

  test('a finalizer is added, refuses a stale view, and its removal lets the object go', async () => {
    const client = await connect()
    const name = { namespace: 'default', name: 'finalized' }
    const created = await createConfigMap(client, name.name)
    const added = await writeFinalizer(client, change(created, 'present'), running.signal)
    expect(added).toMatchObject({ type: 'written', object: { metadata: { finalizers: [FINALIZER] } } })
    expect(await writeFinalizer(client, change(created, 'present'), running.signal)).toEqual({ type: 'conflict' })

    await client.delete(CONFIG_MAPS, name, {}, running.signal)
    const deleting = await client.get(CONFIG_MAPS, name, running.signal)
    expect(deleting?.metadata.deletionTimestamp).toBeDefined()
    if (deleting === undefined) return
    const removed = await writeFinalizer(client, change(deleting, 'absent'), running.signal)
    expect(removed.type).toBe('written')
    expect(await client.get(CONFIG_MAPS, name, running.signal)).toBeUndefined()
    expect(await writeFinalizer(client, change(deleting, 'absent'), running.signal)).toEqual({ type: 'gone' })
  })

  test('a finalizer of an earlier object of a name is not removed from the later one', async () => {
    const client = await connect()
    const name = { namespace: 'default', name: 'recreated' }
    const earlier = await createConfigMap(client, name.name)
    await client.delete(CONFIG_MAPS, name, {}, running.signal)
    await createConfigMap(client, name.name)
    const result = await writeFinalizer(client, change(earlier, 'present'), running.signal)
    expect(result).toEqual({ type: 'conflict' })
  })

  test('a status is applied with its conditions, and refused once the object has changed', async () => {
    const client = await connect()
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'claim', namespace: 'default' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    }
    const created = await client.create(CLAIMS, claim, running.signal)
    const update = { type: 'Resizing', status: 'True', reason: 'Testing', message: 'a test' } as const
    const conditions = [dateCondition(update, [], timestamp(Date.now()))]
    const { name, patch } = statusApply(created, { conditions }, 'midflight-test')
    const applied = await client.patch(CLAIMS, name, patch, running.signal)
    expect(applied.status).toMatchObject({ conditions: [{ type: 'Resizing', status: 'True' }] })
    const again = client.patch(CLAIMS, name, statusApply(created, {}, 'midflight-test').patch, running.signal)
    await expect(again).rejects.toMatchObject({ name: 'ApiError', code: 409 })
  })

  test('what is recorded shows in kubectl describe, with how often it happened', async () => {
    const client = await connect()
    const clock = createVirtualClock(systemClock.now())
    const warnings: unknown[] = []
    const log = { debug: () => {}, warn: (message: string, fields?: object) => warnings.push(message, fields) }
    const reporter = { controller: 'midflight.dev/operator', instance: 'pod-1' }
    const recorder = createRecorder({ client, reporter, clock, log }, running.signal)
    const regarding = await createConfigMap(client, 'described')
    const record = () => {
      const note = `tools/weather.ts:3: unknown name ${'x'.repeat(2_000)}`
      recorder.record({ regarding, type: 'Warning', reason: 'Rejected', action: 'Apply', note })
    }
    const events = async () => {
      const { items } = await client.list(EVENTS, { namespace: 'default' }, running.signal)
      return items.filter(({ regarding: object }) => Object(object).name === 'described')
    }
    record()
    await until('the event is there', async () => (await events()).length === 1)
    record()
    record()
    clock.advance(300_000)
    await until('the series is there', async () => Object((await events())[0]?.series).count === 3)
    expect(await cluster().kubectl(['describe', 'configmap', 'described'])).toMatch(
      /Warning\s+Rejected\s.*\(x3 over .*\)\s+midflight.dev\/operator.*tools\/weather.ts:3: unknown name/,
    )
    expect(warnings).toEqual([])
  })
})

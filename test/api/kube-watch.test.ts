import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { parse, stringify } from 'yaml'
import { createClient, type KubeClient, type Selection, type WatchClient } from '../../src/kube/client.ts'
import { hasReached } from '../../src/kube/resource-version.ts'
import { type ClusterConfig, kubeconfigConfig } from '../../src/kube/transport/config.ts'
import { createTransport } from '../../src/kube/transport/transport.ts'
import { isApiError, type ResourceType } from '../../src/kube/types.ts'
import { createRecordingSink, createWatchRecord } from '../../src/kube/watch/watch.fixture.ts'
import { watchObjects } from '../../src/kube/watch/watcher.ts'
import { type Cluster, describeCluster, startFaultProxy, until, useCluster } from './harness/index.ts'

const CONFIG_MAPS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
}
const GADGETS: ResourceType = {
  group: 'test.midflight.dev',
  version: 'v1',
  plural: 'gadgets',
  kind: 'Gadget',
  namespaced: true,
}
const GADGET_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'gadgets.test.midflight.dev' },
  spec: {
    group: GADGETS.group,
    scope: 'Namespaced',
    names: { plural: 'gadgets', singular: 'gadget', kind: 'Gadget', listKind: 'GadgetList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
}
const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

let running = new AbortController()
let watches: Promise<void>[] = []
afterEach(async () => {
  running.abort()
  await Promise.all(watches)
  running = new AbortController()
  watches = []
})

const adminOf = ({ url, caFile, token }: Cluster): ClusterConfig => ({
  server: url,
  ca: { file: caFile },
  credentials: { type: 'token', token },
})

const clientOf = (config: ClusterConfig) => createClient(createTransport(config, { signal: running.signal }))

const urlOf = ({ port }: { port: number }) => `https://127.0.0.1:${port}`

/** A client, and the versions that its watches went on from. */
function recording(client: KubeClient & WatchClient) {
  const versions: string[] = []
  const watchFrom: WatchClient['watch'] = (type, options, signal) => {
    if (options.resourceVersion !== undefined) versions.push(options.resourceVersion)
    return client.watch(type, options, signal)
  }
  return { client: { ...client, watch: watchFrom }, versions }
}

/** Watches until the test ends. */
function watch(client: WatchClient, type: ResourceType, selection: Selection = {}) {
  const sink = createRecordingSink()
  const record = createWatchRecord()
  const { metrics, onState } = record
  watches.push(watchObjects({ client, type, sink, metrics, onState, ...selection }, running.signal))
  const synced = () => until(`${type.plural} are known`, () => sink.replaces > 0)
  const has = (name: string) => until(`${name} is known`, () => sink.objects.has(`default/${name}`), 30_000)
  return { sink, record, synced, has }
}

const create = (client: KubeClient, type: ResourceType, name: string, content: object = {}) =>
  client.create(
    type,
    {
      apiVersion: type.group === '' ? type.version : `${type.group}/${type.version}`,
      kind: type.kind,
      metadata: { namespace: 'default', name, ...('labels' in content ? { labels: content.labels } : {}) },
      ...('data' in content ? { data: content.data } : {}),
    },
    running.signal,
  )

const remove = (client: KubeClient, name: string) =>
  client.delete(CONFIG_MAPS, { namespace: 'default', name }, {}, running.signal)

async function createMany(client: KubeClient, prefix: string, count: number, labels: Record<string, string>) {
  const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
  const left = names[Symbol.iterator]()
  const worker = async () => {
    for (const name of left) await create(client, CONFIG_MAPS, name, { labels, data: { name } })
  }
  await Promise.all(Array.from({ length: 20 }, worker))
  return names
}

describeCluster('a watcher on a real API server', () => {
  const cluster = useCluster()

  test('knows 2,000 ConfigMaps, by WatchList and by pages, and every change of them', async () => {
    const client = clientOf(adminOf(cluster()))
    const names = await createMany(client, 'many', 2000, { set: 'many' })
    const { sink, record, synced } = watch(client, CONFIG_MAPS, { labelSelector: 'set=many' })
    await synced()
    const list = await client.list(CONFIG_MAPS, { labelSelector: 'set=many' }, running.signal)

    expect(sink.objects.size).toBe(2000)
    expect(list.items.map(({ metadata }) => metadata.name).sort()).toEqual([...names].sort())
    expect(list.items[0]).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' })
    expect(record.states.map(({ type }) => type)).toEqual(['syncing', 'watching'])

    await client.patch(
      CONFIG_MAPS,
      { namespace: 'default', name: 'many-7' },
      { type: 'merge', body: { data: { name: 'changed' } } },
      running.signal,
    )
    await remove(client, 'many-8')
    await until('both changes are known', () => {
      return sink.objects.get('default/many-7')?.data !== undefined && !sink.objects.has('default/many-8')
    })
    expect(sink.objects.get('default/many-7')?.data).toEqual({ name: 'changed' })
    expect(sink.objects.get('default/many-7')?.metadata.managedFields).toBeUndefined()
  })

  test('fault 1: after a kill and a restart is in step within 10 s, with one more list at most and nothing lost', async () => {
    const client = clientOf(adminOf(cluster()))
    const { sink, record, synced, has } = watch(client, CONFIG_MAPS, { labelSelector: 'set=restart' })
    await synced()
    await create(client, CONFIG_MAPS, 'before', { labels: { set: 'restart' } })
    await has('before')

    await cluster().killApiServer()
    await until('it backs off', () => record.states.at(-1)?.type === 'backingOff')
    await cluster().startApiServer()
    const ready = performance.now()
    await create(client, CONFIG_MAPS, 'right-after', { labels: { set: 'restart' } })
    await remove(client, 'before')
    await has('right-after')
    await until('the deletion is known', () => !sink.objects.has('default/before'))

    expect(performance.now() - ready).toBeLessThan(10_000)
    // The new process remembers nothing from before its start, and says 410 to a version that is older.
    expect([['start'], ['start', 'expired']]).toContainEqual(record.relists)
  })

  test('fault 3: notices within 10 s that the server is frozen, and goes on when it is not any more', async () => {
    const client = clientOf(adminOf(cluster()))
    const { record, synced, has } = watch(client, CONFIG_MAPS, { labelSelector: 'set=freeze' })
    await synced()
    cluster().pauseApiServer()
    const from = performance.now()
    try {
      await until('it is noticed', () => record.restarts.length > 0, 20_000)
    } finally {
      cluster().resumeApiServer()
    }

    expect(performance.now() - from).toBeLessThan(10_000)
    expect(record.restarts[0]).toBe('connection')
    await create(client, CONFIG_MAPS, 'thawed', { labels: { set: 'freeze' } })
    await has('thawed')
    expect(record.relists).toEqual(['start'])
  })

  test('fault 3: notices within 10 s that the way to the server is frozen, and takes another', async () => {
    await using proxy = await startFaultProxy({ port: cluster().port })
    const client = clientOf({ ...adminOf(cluster()), server: urlOf(proxy) })
    const { record, synced, has } = watch(client, CONFIG_MAPS, { labelSelector: 'set=proxy' })
    await synced()
    proxy.freeze()
    const from = performance.now()
    await create(clientOf(adminOf(cluster())), CONFIG_MAPS, 'meanwhile', { labels: { set: 'proxy' } })
    await until('it is noticed', () => record.restarts.length > 0, 20_000)
    expect(performance.now() - from).toBeLessThan(10_000)
    proxy.reset()
    proxy.thaw()
    await has('meanwhile')
    expect(record.relists).toEqual(['start'])
  })

  test('fault 15: empties when the CRD is deleted, and fills when it is back', async () => {
    const client = clientOf(adminOf(cluster()))
    await cluster().apply(GADGET_CRD)
    await until('the kind is served', () => client.list(GADGETS, {}, running.signal).catch(() => undefined))
    await create(client, GADGETS, 'first')
    const { sink, record, synced, has } = watch(client, GADGETS)
    await synced()
    await has('first')

    await client.request({ method: 'DELETE', path: `${CRD_PATH}/${GADGET_CRD.metadata.name}` }, running.signal)
    await until('it is empty', () => sink.objects.size === 0)
    await until('it knows that the kind is gone', () => {
      const state = record.states.at(-1)
      return state?.type === 'backingOff' && state.isGone
    })
    await cluster().apply(GADGET_CRD)
    await until('the kind is served again', () => create(client, GADGETS, 'second').catch(() => undefined))
    await has('second')
    expect([...sink.objects.keys()]).toEqual(['default/second'])
  })

  test('fault 18: reads a token file again at once when the server refuses the token', async () => {
    const { token } = cluster()
    const file = join(cluster().folder, 'rotating-token')
    await writeFile(file, token)
    const client = clientOf({ ...adminOf(cluster()), credentials: { type: 'tokenFile', file } })
    expect(await client.get(CONFIG_MAPS, { namespace: 'default', name: 'none' }, running.signal)).toBeUndefined()

    await writeFile(file, 'an-outdated-token')
    expect(await client.get(CONFIG_MAPS, { namespace: 'default', name: 'none' }, running.signal)).toBeUndefined()

    // A client that has read the outdated one, before the new one is written.
    const other = clientOf({ ...adminOf(cluster()), credentials: { type: 'tokenFile', file } })
    await expect(other.list(CONFIG_MAPS, {}, running.signal)).rejects.toMatchObject({ code: 401 })
    await writeFile(file, await cluster().serviceAccountToken('default', 'rotated'))
    await expect(other.list(CONFIG_MAPS, {}, running.signal)).rejects.toMatchObject({ code: 403, reason: 'Forbidden' })
  })

  test('fault 7: backs off while its rights are gone, keeps what it knew, and goes on when they are back', async () => {
    const admin = clientOf(adminOf(cluster()))
    const token = await cluster().serviceAccountToken('default', 'reader')
    await cluster().apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'reader' },
      rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch'] }],
    })
    const binding = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'reader' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'reader' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'default', name: 'reader' }],
    }
    await cluster().apply(binding)
    const client = clientOf({ ...adminOf(cluster()), credentials: { type: 'token', token } })
    await until('it may read', () => client.list(CONFIG_MAPS, {}, running.signal).catch(() => undefined))
    const { sink, record, synced, has } = watch(client, CONFIG_MAPS, { labelSelector: 'set=rights' })
    await synced()
    await create(admin, CONFIG_MAPS, 'known', { labels: { set: 'rights' } })
    await has('known')

    const path = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/reader'
    await admin.request({ method: 'DELETE', path }, running.signal)
    await until('the right is gone', () =>
      client.list(CONFIG_MAPS, {}, running.signal).then(
        () => false,
        (error: unknown) => isApiError(error, 403),
      ),
    )
    // An open watch outlives the right; a new one does not get it.
    await cluster().killApiServer()
    await cluster().startApiServer()
    const state = await until(
      'it is refused',
      () => record.states.findLast((each) => each.type === 'backingOff' && each.failure.type === 'forbidden'),
      30_000,
    )
    expect(state).toMatchObject({ failure: { message: expect.stringContaining('cannot watch resource') } })
    expect([...sink.objects.keys()]).toEqual(['default/known'])

    await cluster().apply(binding)
    await create(admin, CONFIG_MAPS, 'later', { labels: { set: 'rights' } })
    await has('later')
    expect(sink.removed).toEqual([])
  })

  // The server sends a bookmark a minute at the latest.
  test('fault 4: a quiet watch has a fresh version by bookmarks, so that a compaction costs no list', async () => {
    await using proxy = await startFaultProxy({ port: cluster().port })
    const admin = clientOf(adminOf(cluster()))
    const { client, versions } = recording(clientOf({ ...adminOf(cluster()), server: urlOf(proxy) }))
    const { record, synced, has } = watch(client, CONFIG_MAPS, { labelSelector: 'set=quiet' })
    await synced()
    const noise = await create(admin, CONFIG_MAPS, 'noise')
    const bookmarks = () => record.events.filter((type) => type === 'BOOKMARK').length
    const before = bookmarks()
    await until('a bookmark comes', () => bookmarks() > before, 90_000)
    await cluster().compact()
    proxy.reset()
    await create(admin, CONFIG_MAPS, 'quiet', { labels: { set: 'quiet' } })
    await has('quiet')

    expect(hasReached(versions.at(-1), noise.metadata.resourceVersion ?? '')).toBe(true)
    expect(record.relists).toEqual(['start'])
  }, 120_000)

  test('multiplexes 300 watches on a handful of connections', async () => {
    await using proxy = await startFaultProxy({ port: cluster().port })
    const client = clientOf({ ...adminOf(cluster()), server: urlOf(proxy) })
    const all = Array.from({ length: 300 }, (_, index) => {
      return watch(client, CONFIG_MAPS, { fieldSelector: `metadata.name=one-${index}`, namespace: 'default' })
    })
    await Promise.all(all.map(({ synced }) => synced()))
    await create(client, CONFIG_MAPS, 'one-0')
    await create(client, CONFIG_MAPS, 'one-299')
    await Promise.all([all[0]?.has('one-0'), all[299]?.has('one-299')])
    // Four with up to 90 watches each, and one or two for requests.
    expect(proxy.connections).toBeLessThanOrEqual(6)
    expect(all.flatMap(({ record }) => record.restarts)).toEqual([])
  })

  test('fetches only metadata where that is asked for, under the kind of the objects', async () => {
    const client = clientOf(adminOf(cluster()))
    await create(client, CONFIG_MAPS, 'slim', { labels: { set: 'slim' }, data: { big: 'content' } })
    const selection = { labelSelector: 'set=slim', metadataOnly: true }
    const { sink, synced } = watch(client, CONFIG_MAPS, selection)
    await synced()
    const { items } = await client.list(CONFIG_MAPS, selection, running.signal)

    for (const object of [sink.objects.get('default/slim'), items[0]]) {
      expect(object).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { labels: { set: 'slim' } } })
      expect(object?.data).toBeUndefined()
    }
  })

  test('takes the certificates of a kubeconfig, and the token of its credential plugin', async () => {
    const file = await cluster().addUser('certified', ['system:masters'])
    const config = await kubeconfigConfig({ file })
    const list = await clientOf(config).list(CONFIG_MAPS, {}, running.signal)
    expect(list.items.length).toBeGreaterThan(0)

    const apiVersion = 'client.authentication.k8s.io/v1'
    const credential = { apiVersion, kind: 'ExecCredential', status: { token: cluster().token } }
    const plugin = join(cluster().folder, 'plugin.sh')
    await writeFile(plugin, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`, { mode: 0o755 })
    const withPlugin = join(cluster().folder, 'plugin.kubeconfig')
    const exec = { apiVersion, command: plugin, interactiveMode: 'Never' }
    const own = parse(await readFile(file, 'utf8'))
    await writeFile(withPlugin, stringify({ ...own, users: [{ name: own.users[0].name, user: { exec } }] }))
    const byPlugin = clientOf(await kubeconfigConfig({ file: withPlugin }))
    expect((await byPlugin.list(CONFIG_MAPS, {}, running.signal)).items.length).toBe(list.items.length)
  })
})

describeCluster('a watcher on an API server without a watch cache', () => {
  const cluster = useCluster({ watchCache: false })

  test('fault 1: goes on from where it was after a kill and a restart, without a list and with nothing lost', async () => {
    const client = clientOf(adminOf(cluster()))
    const { sink, record, synced, has } = watch(client, CONFIG_MAPS, { labelSelector: 'set=restart' })
    await synced()
    await create(client, CONFIG_MAPS, 'before', { labels: { set: 'restart' } })
    await has('before')
    const lists = record.relists.length
    await cluster().killApiServer()
    await cluster().startApiServer()
    await create(client, CONFIG_MAPS, 'right-after', { labels: { set: 'restart' } })
    await remove(client, 'before')
    await has('right-after')
    await until('the deletion is known', () => !sink.objects.has('default/before'))

    expect(record.relists).toHaveLength(lists)
    expect(sink.replaces).toBe(1)
  })

  test('fault 2: lists again when its version was compacted, and sees what was deleted meanwhile', async () => {
    await using proxy = await startFaultProxy({ port: cluster().port })
    const admin = clientOf(adminOf(cluster()))
    const client = clientOf({ ...adminOf(cluster()), server: urlOf(proxy) })
    await create(admin, CONFIG_MAPS, 'forgotten', { labels: { set: 'expired' } })
    const { sink, record, synced, has } = watch(client, CONFIG_MAPS, { labelSelector: 'set=expired' })
    await synced()
    proxy.refuse()
    proxy.reset()
    await remove(admin, 'forgotten')
    await create(admin, CONFIG_MAPS, 'remembered', { labels: { set: 'expired' } })
    await cluster().compact()
    await proxy.accept()
    await has('remembered')

    expect(sink.removed).toEqual(['default/forgotten'])
    expect(record.relists.at(-1)).toBe('expired')
    expect(sink.replaces).toBe(2)
  })
})

import { describe, expect, test } from '@jest/globals'
import { createVirtualClock } from '../../clock.fixture.ts'
import { ApiError, type KubeObject, type ObjectSink, type WatchObjectsOptions } from '../../kube/index.ts'
import type { LogFields } from '../../log.ts'
import { createDependents, type DependentsOptions } from './dependents.ts'

type Labels = Readonly<Record<string, string>>
type Data = Readonly<Record<string, string>>

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** The ConfigMaps and Secrets of an API server, with the watches that show their metadata. */
class MemoryCluster {
  readonly objects = new Map<string, KubeObject>()
  readonly gets: string[] = []
  readonly watches: WatchObjectsOptions[] = []
  /** Awaited before a `get` looks; throws what it fails with. */
  before: () => Promise<void> | void = () => undefined
  #version = 0
  readonly #sinks = new Map<ObjectSink, string>()
  #held: (() => void)[] | undefined

  put(
    kind: 'ConfigMap' | 'Secret',
    name: string,
    data: Data,
    options: { labels?: Labels; created?: string } = {},
  ): void {
    const key = `${kind}/team/${name}`
    const old = this.objects.get(key)
    this.#version += 1
    const object: KubeObject = {
      apiVersion: 'v1',
      kind,
      metadata: {
        name,
        namespace: 'team',
        uid: old?.metadata.uid ?? `uid-${this.#version}`,
        resourceVersion: String(this.#version),
        creationTimestamp: options.created ?? '2026-01-01T00:00:00Z',
        labels: options.labels ?? {},
      },
      data: kind === 'Secret' ? Object.fromEntries(Object.entries(data).map(([k, v]) => [k, base64(v)])) : data,
    }
    this.objects.set(key, object)
    this.#show((sink) => sink.upsert(metadataOnly(object)), kind)
  }

  remove(kind: 'ConfigMap' | 'Secret', name: string): void {
    const object = this.objects.get(`${kind}/team/${name}`)
    if (object === undefined) throw new Error(`no ${name}`)
    this.objects.delete(`${kind}/team/${name}`)
    this.#show((sink) => sink.remove(metadataOnly(object)), kind)
  }

  /** Watches show nothing until the result is called. */
  hold(): () => void {
    const held: (() => void)[] = []
    this.#held = held
    return () => {
      this.#held = undefined
      for (const show of held) show()
    }
  }

  get watching(): number {
    return this.#sinks.size
  }

  async get({ kind }: { kind: string }, { namespace, name }: { namespace?: string | undefined; name: string }) {
    this.gets.push(`${kind}/${name}`)
    await this.before()
    return this.objects.get(`${kind}/${namespace}/${name}`)
  }

  async watch(options: WatchObjectsOptions, signal: AbortSignal): Promise<void> {
    this.watches.push(options)
    const { sink, type, namespace } = options
    const list = () => {
      const objects = [...this.objects.values()].filter(
        ({ kind, metadata }) => kind === type.kind && metadata.namespace === namespace,
      )
      sink.replace(objects.map(metadataOnly), String(this.#version))
      this.#sinks.set(sink, type.kind)
    }
    if (this.#held) this.#held.push(list)
    else list()
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    this.#sinks.delete(sink)
  }

  #show(tell: (sink: ObjectSink) => void, of: string): void {
    const show = () => {
      for (const [sink, kind] of this.#sinks) if (kind === of) tell(sink)
    }
    if (this.#held) this.#held.push(show)
    else show()
  }
}

const metadataOnly = ({ apiVersion, kind, metadata }: KubeObject): KubeObject => ({ apiVersion, kind, metadata })

const quiet = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

const OWNER = { namespace: 'team', name: 'main' }

function createRig(cluster = new MemoryCluster()) {
  const clock = createVirtualClock()
  const controller = new AbortController()
  /** `team: main`, or `team: all`. */
  const changes: string[] = []
  const warnings: [string, LogFields | undefined][] = []
  const unused = () => Promise.reject(new Error('not used here'))
  const options: DependentsOptions = {
    client: { get: (type, name) => cluster.get(type, name), list: unused, watch: unused },
    clock,
    log: { warn: (message, fields) => warnings.push([message, fields]), error: () => undefined },
    random: () => 0,
    onChange: (namespace, concerned) =>
      changes.push(`${namespace}: ${concerned === 'all' ? concerned : [...concerned].sort().join(' ')}`),
    isMissed: ({ name }) => !/^(removed-by-us|midflight-.*)$/.test(name),
    watch: (watching, signal) => cluster.watch(watching, signal),
  }
  const dependents = createDependents(options, controller.signal)
  const want = (configMaps: readonly string[], secrets: readonly string[] = []) =>
    dependents.want(OWNER, { configMaps, secrets })
  return { cluster, clock, changes, warnings, dependents, want, end: () => controller.abort(new Error('over')) }
}

async function followed(configMaps: readonly string[], secrets: readonly string[] = []) {
  const rig = createRig()
  rig.cluster.put('ConfigMap', 'files', { 'a.prompt.md': 'one' })
  rig.cluster.put('Secret', 'llm', { key: 'canary-value' })
  rig.dependents.follow(new Set(['team']))
  rig.want(configMaps, secrets)
  await quiet()
  return rig
}

const textOf = (view: ReturnType<ReturnType<typeof createDependents>['configMap']>, key: string) =>
  view.type === 'found' ? view.data.get(key)?.toString() : view.type

describe('what is wanted', () => {
  test('is loading until it has been read', async () => {
    const { cluster, dependents, want, end } = createRig()
    cluster.put('ConfigMap', 'files', {})
    const show = cluster.hold()
    dependents.follow(new Set(['team']))
    want(['files', 'absent'])
    await quiet()
    expect(dependents.configMap('team', 'files')).toEqual({ type: 'loading' })
    expect(dependents.configMap('team', 'absent')).toEqual({ type: 'loading' })
    expect(dependents.hasSynced('team')).toBe(false)
    show()
    await quiet()
    expect(dependents.hasSynced('team')).toBe(true)
    expect(dependents.configMap('team', 'files').type).toBe('found')
    expect(dependents.configMap('team', 'absent')).toEqual({ type: 'missing' })
    end()
  })

  test('is found with its data decoded, and told', async () => {
    const { dependents, changes, end } = await followed(['files'], ['llm'])
    expect(dependents.configMap('team', 'files')).toEqual({
      type: 'found',
      uid: 'uid-1',
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: {},
      annotations: {},
      owners: [],
      data: new Map([['a.prompt.md', Buffer.from('one')]]),
    })
    expect(textOf(dependents.secret('team', 'llm'), 'key')).toBe('canary-value')
    expect(new Set(changes)).toEqual(new Set(['team: all', 'team: main']))
    end()
  })

  test('alone is read, though everything is watched', async () => {
    const { cluster, end } = await followed(['files'])
    cluster.put('ConfigMap', 'other', {})
    cluster.put('Secret', 'other', {})
    await quiet()
    expect(cluster.gets).toEqual(['ConfigMap/files'])
    end()
  })

  test('is watched as metadata only, and without releases of Helm', async () => {
    const { cluster, end } = await followed([])
    expect(
      cluster.watches.map(({ type, metadataOnly: only, fieldSelector }) => [type.kind, only, fieldSelector]),
    ).toEqual([
      ['ConfigMap', true, undefined],
      ['Secret', true, 'type!=helm.sh/release.v1'],
    ])
    end()
  })

  test('is read again when it changes, and is found as it was until then', async () => {
    const { cluster, dependents, changes, end } = await followed(['files'])
    changes.length = 0
    const answered = Promise.withResolvers<void>()
    cluster.before = () => answered.promise
    cluster.put('ConfigMap', 'files', { 'a.prompt.md': 'two' })
    await quiet()
    expect(textOf(dependents.configMap('team', 'files'), 'a.prompt.md')).toBe('one')
    answered.resolve()
    await quiet()
    expect(textOf(dependents.configMap('team', 'files'), 'a.prompt.md')).toBe('two')
    expect(changes).toEqual(['team: main'])
    end()
  })

  test('is read once at a time however often it changes, and the latest wins', async () => {
    const { cluster, dependents, end } = await followed(['files'])
    const answered = Promise.withResolvers<void>()
    cluster.before = () => answered.promise
    for (const text of ['two', 'three', 'four']) cluster.put('ConfigMap', 'files', { 'a.prompt.md': text })
    await quiet()
    expect(cluster.gets).toHaveLength(2)
    answered.resolve()
    await quiet()
    expect(textOf(dependents.configMap('team', 'files'), 'a.prompt.md')).toBe('four')
    expect(cluster.gets).toHaveLength(2)
    end()
  })

  test('is found when one owner of two wants it no more, and forgotten when none does', async () => {
    const { dependents, want, end } = await followed(['files'])
    dependents.want({ namespace: 'team', name: 'second' }, { configMaps: ['files'], secrets: [] })
    want([])
    expect(dependents.configMap('team', 'files').type).toBe('found')
    dependents.want({ namespace: 'team', name: 'second' }, { configMaps: [], secrets: [] })
    expect(dependents.configMap('team', 'files')).toEqual({ type: 'loading' })
    end()
  })

  test('costs nothing when it is wanted again', async () => {
    const { cluster, want, end } = await followed(['files'])
    want(['files'])
    await quiet()
    expect(cluster.gets).toHaveLength(1)
    end()
  })
})

describe('a read that fails', () => {
  test('is repeated with growing pauses and logged without data', async () => {
    const { cluster, clock, dependents, warnings, end } = await followed([], ['llm'])
    cluster.before = () => {
      throw new ApiError({ code: 503, reason: 'ServiceUnavailable', message: 'busy' })
    }
    cluster.put('Secret', 'llm', { key: 'canary-2' })
    await quiet()
    for (const ms of [100, 200, 400]) {
      await clock.scheduled(ms)
      clock.advance(ms)
      await quiet()
    }
    expect(cluster.gets).toHaveLength(5)
    expect(textOf(dependents.secret('team', 'llm'), 'key')).toBe('canary-value')
    expect(warnings).toHaveLength(4)
    expect(JSON.stringify(warnings)).not.toContain('canary')
    cluster.before = () => undefined
    clock.advance(800)
    await quiet()
    expect(textOf(dependents.secret('team', 'llm'), 'key')).toBe('canary-2')
    end()
  })

  test('is given up when it is not wanted any more', async () => {
    const { cluster, clock, want, end } = await followed(['files'])
    cluster.before = () => Promise.reject(new Error('busy'))
    cluster.put('ConfigMap', 'files', {})
    await clock.scheduled(100)
    want([])
    await quiet()
    expect(clock.running()).toBe(0)
    end()
  })
})

describe('what is deleted', () => {
  test('is found for 30 s when it is a ConfigMap, and then missing since it went', async () => {
    const { cluster, clock, dependents, changes, end } = await followed(['files'])
    changes.length = 0
    const sinceMs = clock.now()
    cluster.remove('ConfigMap', 'files')
    clock.advance(29_999)
    expect(textOf(dependents.configMap('team', 'files'), 'a.prompt.md')).toBe('one')
    clock.advance(1)
    expect(dependents.configMap('team', 'files')).toEqual({ type: 'missing', sinceMs })
    expect(changes).toEqual(['team: main', 'team: main'])
    end()
  })

  test('goes on being found when it is created again in time', async () => {
    const { cluster, clock, dependents, end } = await followed(['files'])
    cluster.remove('ConfigMap', 'files')
    clock.advance(29_000)
    cluster.put('ConfigMap', 'files', { 'a.prompt.md': 'again' })
    await quiet()
    clock.advance(60_000)
    expect(textOf(dependents.configMap('team', 'files'), 'a.prompt.md')).toBe('again')
    expect(dependents.configMap('team', 'files')).toMatchObject({ uid: 'uid-3' })
    end()
  })

  test('is missing at once when it is a Secret', async () => {
    const { cluster, dependents, clock, end } = await followed([], ['llm'])
    cluster.remove('Secret', 'llm')
    expect(dependents.secret('team', 'llm')).toEqual({ type: 'missing', sinceMs: clock.now() })
    end()
  })

  test('is missing, and nothing of it is held, when the answer to a read comes after the deletion', async () => {
    const { cluster, dependents, changes, end } = await followed([], ['llm'])
    const answered = Promise.withResolvers<void>()
    const get = cluster.get.bind(cluster)
    cluster.get = async (type, name) => {
      const object = await get(type, name)
      await answered.promise
      return object
    }
    cluster.put('Secret', 'llm', { key: 'short-lived' })
    await quiet()
    cluster.remove('Secret', 'llm')
    changes.length = 0
    answered.resolve()
    await quiet()
    expect(dependents.secret('team', 'llm')).toMatchObject({ type: 'missing' })
    expect(changes).toEqual([])
    cluster.before = () => Promise.withResolvers<void>().promise
    cluster.put('Secret', 'llm', { key: 'new' })
    await quiet()
    expect(dependents.secret('team', 'llm')).toEqual({ type: 'loading' })
    end()
  })

  test('is not found in place of what was created under its name while it was read', async () => {
    const { cluster, clock, dependents, end } = await followed([], ['llm'])
    const answered = Promise.withResolvers<void>()
    const get = cluster.get.bind(cluster)
    cluster.get = async (type, name) => {
      const object = await get(type, name)
      await answered.promise
      return object
    }
    cluster.put('Secret', 'llm', { key: 'revoked' })
    await quiet()
    cluster.remove('Secret', 'llm')
    cluster.put('Secret', 'llm', { key: 'new' })
    const next = Promise.withResolvers<void>()
    cluster.before = () => next.promise
    answered.resolve()
    await quiet()
    expect(dependents.secret('team', 'llm')).toEqual({ type: 'loading' })
    next.resolve()
    clock.advance(100)
    await quiet()
    expect(textOf(dependents.secret('team', 'llm'), 'key')).toBe('new')
    end()
  })

  test('keeps its place among the labelled ones for as long as it is found', async () => {
    const { cluster, clock, dependents, want, end } = await followed([])
    const labels = { bundle: 'yes' }
    cluster.put('ConfigMap', 'first', {}, { labels, created: '2026-01-01T00:00:00Z' })
    cluster.put('ConfigMap', 'second', {}, { labels, created: '2026-01-02T00:00:00Z' })
    want(['first', 'second'])
    await quiet()
    cluster.remove('ConfigMap', 'first')
    expect(dependents.labelled('team', labels)).toEqual(['first', 'second'])
    clock.advance(30_000)
    expect(dependents.labelled('team', labels)).toEqual(['second'])
    end()
  })
})

describe('labelled ConfigMaps', () => {
  test('are those that have every label, by age and then by name', async () => {
    const { cluster, dependents, end } = await followed([])
    const labels = { app: 'x', tier: 'y' }
    cluster.put('ConfigMap', 'young', {}, { labels, created: '2026-01-02T00:00:00Z' })
    cluster.put('ConfigMap', 'b', {}, { labels: { ...labels, more: 'z' }, created: '2026-01-01T00:00:00Z' })
    cluster.put('ConfigMap', 'a', {}, { labels, created: '2026-01-01T00:00:00Z' })
    cluster.put('ConfigMap', 'half', {}, { labels: { app: 'x' } })
    expect(dependents.labelled('team', labels)).toEqual(['a', 'b', 'young'])
    end()
  })

  test('are told when one gets or loses a label, and not when another of its fields changes', async () => {
    const { cluster, changes, end } = await followed([])
    cluster.put('ConfigMap', 'other', {}, { labels: { app: 'x' } })
    changes.length = 0
    cluster.put('ConfigMap', 'other', { more: 'data' }, { labels: { app: 'x' } })
    expect(changes).toEqual([])
    cluster.put('ConfigMap', 'other', {}, { labels: {} })
    expect(changes).toEqual(['team: all'])
    end()
  })
})

describe('a Secret that changes', () => {
  const LABELS = { 'midflight.dev/runtime': 'main' }

  /** Many AgentRuntimes: each wants a Secret of its own, its trust another one, and all of them want one in common. */
  async function many(count: number) {
    const rig = createRig()
    for (const name of ['shared', 'r1-key']) rig.cluster.put('Secret', name, { key: '1' })
    rig.dependents.follow(new Set(['team']))
    for (let index = 0; index < count; index += 1) {
      const name = `r${index}`
      rig.dependents.want({ namespace: 'team', name }, { configMaps: [], secrets: ['shared', `${name}-llm`] })
      const trust = { namespace: 'team', name, part: 'trust' }
      rig.dependents.want(trust, { configMaps: [], secrets: [`${name}-key`] })
    }
    await quiet()
    rig.changes.length = 0
    return rig
  }

  test('is told to those alone that want it, whichever part of them does', async () => {
    const { cluster, changes, end } = await many(5)
    const told = async (change: () => void) => {
      change()
      await quiet()
      return changes.splice(0)
    }
    const put = (name: string) => () => cluster.put('Secret', name, { key: '2' }, { labels: LABELS })
    expect(await told(put('r3-llm'))).toEqual(['team: r3'])
    expect(await told(put('r2-key'))).toEqual(['team: r2'])
    expect(await told(put('shared'))).toEqual(['team: r0 r1 r2 r3 r4'])
    expect(await told(() => cluster.remove('Secret', 'r1-key'))).toEqual(['team: r1'])
    expect(await told(put('nobodys'))).toEqual([])
    end()
  })

  test('costs nobody a look while many AgentRuntimes write their boot sets', async () => {
    const { cluster, changes, end } = await many(50)
    for (let round = 0; round < 4; round += 1) {
      for (let index = 0; index < 50; index += 1) {
        const labels = { 'midflight.dev/runtime': `r${index}` }
        cluster.put('Secret', `midflight-r${index}-boot-${round % 2}`, {}, { labels })
        if (round > 0) cluster.remove('Secret', `midflight-r${index}-boot-${(round + 1) % 2}`)
      }
      await quiet()
    }
    expect(changes).toEqual([])
    end()
  })

  test('is missed by the AgentRuntime that it belongs to, unless that took it away or it only came', async () => {
    const { cluster, changes, end } = await many(2)
    for (const name of ['removed-by-us', 'removed', 'relabelled', 'handed-on'])
      cluster.put('Secret', name, {}, { labels: LABELS })
    expect(changes).toEqual([])
    cluster.remove('Secret', 'removed-by-us')
    expect(changes).toEqual([])
    cluster.remove('Secret', 'removed')
    cluster.put('Secret', 'relabelled', {}, { labels: {} })
    cluster.put('Secret', 'handed-on', {}, { labels: { 'midflight.dev/runtime': 'other' } })
    expect(changes).toEqual(['team: main', 'team: main', 'team: main other'])
    end()
  })
})

describe('namespaces', () => {
  test('that are not followed any more are not watched and not known', async () => {
    const { cluster, clock, dependents, end } = await followed(['files'])
    cluster.remove('ConfigMap', 'files')
    dependents.follow(new Set())
    await quiet()
    expect(cluster.watching).toBe(0)
    expect(clock.running()).toBe(0)
    expect(dependents.configMap('team', 'files')).toEqual({ type: 'loading' })
    expect(dependents.labelled('team', {})).toEqual([])
    end()
  })

  test('that are followed already are watched once', async () => {
    const { cluster, dependents, end } = await followed(['files'])
    dependents.follow(new Set(['team']))
    await quiet()
    expect(cluster.watches).toHaveLength(2)
    end()
  })

  test('are let go of with the signal', async () => {
    const { cluster, clock, end } = await followed(['files'])
    cluster.remove('ConfigMap', 'files')
    end()
    await quiet()
    expect(cluster.watching).toBe(0)
    expect(clock.running()).toBe(0)
  })
})

test('a Secret stands as long as the watch shows nothing else of it, wanted or not, and is not read for that', async () => {
  const { cluster, dependents, end } = await followed([])
  cluster.put('Secret', 'boot', {})
  await quiet()
  const version = cluster.objects.get('Secret/team/boot')?.metadata.resourceVersion ?? ''
  const stands = (of = version) => dependents.secretStands('team', 'boot', of)
  const later = String(Number(version) + 1)
  const isAbsent = () => dependents.secretStands('team', 'boot', undefined)
  expect(isAbsent()).toBe(false)
  // What the watch has not come to yet may well be there.
  expect([stands(), stands(later)]).toEqual([true, true])
  cluster.put('Secret', 'boot', {})
  await quiet()
  expect([stands(), stands(later)]).toEqual([false, true])
  cluster.remove('Secret', 'boot')
  await quiet()
  expect([stands(later), isAbsent()]).toEqual([false, true])
  expect(dependents.secretStands('elsewhere', 'boot', version)).toBe(true)
  expect(cluster.gets).toEqual([])
  end()
})

import { describe, expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { API_VERSION, type Kind, type Problem } from '../api/index.ts'
import { createVirtualClock } from '../clock.fixture.ts'
import { createQueueMetrics, createWorkQueue, type KubeObject, keyOfName, PRIORITY } from '../kube/index.ts'
import { FakeBootSecrets } from './boot/boot.fixture.ts'
import { BootRecords } from './boot/index.ts'
import { parseItemKey } from './items/keys.ts'
import { connectPod } from './pods/index.ts'
import { FakeDependents, FakePod, NAMESPACE } from './unit/unit.fixture.ts'
import { Units } from './units.ts'
import { createCatalogue, FINALIZER } from './world/catalogue.ts'
import type { PodSelection } from './world/pod-watches.ts'

const MODELS = [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'hello' }] }]
const TOKEN_REF = { name: 'management', key: 'token' }
const never = new AbortController().signal
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** AgentRuntimes of a namespace that select pods by name. */
class Scene {
  readonly clock = createVirtualClock()
  readonly catalogue = createCatalogue()
  readonly dependents = new FakeDependents()
  readonly units: Units
  readonly pods = new Map<string, FakePod>()
  /** What else the metadata of a pod holds. */
  readonly podMetadata = new Map<string, object>()
  /** Names of pods that each AgentRuntime selects. */
  readonly #selected = new Map<string, readonly string[]>()
  readonly #runtimes = new Map<string, KubeObject>()
  readonly #unitQueue
  readonly itemQueue
  selections: ReadonlyMap<string, PodSelection> = new Map()
  isListed = true
  /** Of what the operator's own pods are made from. */
  problems: readonly Problem[] = []
  #generation = 0

  constructor() {
    const { clock, catalogue, dependents } = this
    const queues = createQueueMetrics(new Registry())
    const queue = (name: string) => createWorkQueue({ clock, metrics: queues.of(name, Object.values(PRIORITY)) })
    this.#unitQueue = queue('units')
    this.itemQueue = queue('items')
    dependents.put('Secret', TOKEN_REF.name, { token: 'secret' })
    const runtimes = () => this.#runtimes.values()
    this.units = new Units(
      {
        world: { catalogue, runtimes } as never,
        pods: {
          follow: (selections) => {
            this.selections = selections
          },
          pods: (key) => (this.isListed ? this.#podsOf(key) : undefined),
        },
        dependents,
        boot: new BootRecords(
          {
            ...{ clock, fence: 5, log: { warn: () => undefined }, stands: () => true },
            inTurn: (task) => task(),
            secrets: new FakeBootSecrets(),
          },
          never,
        ),
        unitQueue: this.#unitQueue,
        itemQueue: this.itemQueue,
        shared: {
          fence: 5,
          inTurn: (task) => task(),
          clock,
          metrics: { propagated: () => undefined, driftRepaired: () => undefined },
          reach: ({ host }) => this.pod(host).target,
          connect: (pod, target, told, signal) => connectPod({ pod, target, clock, ...told, random: () => 0 }, signal),
        },
        record: () => undefined,
        own: {
          problems: () => this.problems,
          deployment: () => undefined,
          trusted: () => ({ type: 'known', ca: 'ca', serverName: 'name', tokens: () => ['token'] }),
          onCredentials: () => undefined,
        },
      },
      never,
    )
  }

  runtime(name: string, pods: readonly string[], created = 0): void {
    for (const pod of pods) if (!this.pods.has(pod)) this.pods.set(pod, new FakePod(pod))
    this.#selected.set(name, pods)
    const adopt = { selector: { matchLabels: { for: name } }, tokenSecretRef: TOKEN_REF }
    const creationTimestamp = `2026-01-01T00:00:0${created}Z`
    this.#runtimes.set(name, this.#put('AgentRuntime', name, { adopt, models: MODELS }, { creationTimestamp }))
    this.units.follow()
  }

  /** One whose pods the operator runs, as `main-runtime-1-a`. */
  managed(name: string, pods: readonly string[], spec: object = {}): void {
    for (const pod of pods) {
      if (!this.pods.has(pod)) this.pods.set(pod, new FakePod(pod))
      const replicaSet = { kind: 'ReplicaSet', name: pod.slice(0, pod.lastIndexOf('-')), controller: true }
      this.podMetadata.set(pod, { labels: { 'pod-template-hash': '1' }, ownerReferences: [replicaSet] })
    }
    this.#selected.set(name, pods)
    this.#runtimes.set(name, this.#put('AgentRuntime', name, { models: MODELS, ...spec }))
    this.units.follow()
  }

  agent(name: string, runtime: string, spec: object = {}): KubeObject {
    return this.#put('Agent', name, { runtime, ...spec })
  }

  /** It is gone at once, as when its finalizer was taken away by hand. */
  remove(name: string): void {
    const runtime = this.#runtimes.get(name)
    this.#runtimes.delete(name)
    this.#selected.delete(name)
    if (runtime) this.catalogue.remove(runtime)
    this.units.follow()
    this.units.wake({ namespace: NAMESPACE, name })
    this.units.wakeNamespace(NAMESPACE)
  }

  pod(name: string): FakePod {
    const found = this.pods.get(name)
    if (found === undefined) throw new Error(`there is no pod ${name}`)
    return found
  }

  of = (name: string) => this.units.of({ namespace: NAMESPACE, name })

  /** What each pod serves besides its settings, by the names of agents. */
  serving(): Record<string, string> {
    return Object.fromEntries(
      [...this.pods].map(([name, { serving }]) => {
        const agents = Object.keys(serving).flatMap((id) =>
          id.startsWith('agents/') ? [id.slice('agents/'.length)] : [],
        )
        return [name, agents.sort().join(' ')]
      }),
    )
  }

  /** Reconciles whatever is due until nothing is. */
  async quiet(): Promise<void> {
    for (let idle = 0, count = 0; idle < 6; idle++) {
      while (this.#unitQueue.depth > 0) {
        idle = 0
        count += 1
        if (count > 300) throw new Error('it reconciles without end')
        const item = await this.#unitQueue.get(never)
        if (item) void this.#reconcile(item.key)
      }
      await turn()
    }
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(250)
      await this.quiet()
    }
  }

  /** Names of the objects that were to be looked at again since the last call. */
  async touched(): Promise<string[]> {
    const names: string[] = []
    while (this.itemQueue.depth > 0) {
      const item = await this.itemQueue.get(never)
      if (item === undefined) break
      names.push(parseItemKey(item.key).name.name)
      this.itemQueue.done(item.key)
    }
    return names.sort()
  }

  async #reconcile(key: string): Promise<void> {
    const outcome = await this.units.reconcile(key)
    this.#unitQueue.done(key)
    if (outcome.type === 'requeue') this.#unitQueue.add(key, { afterMs: outcome.afterMs })
  }

  #put(kind: Kind, name: string, spec: object, more: Partial<KubeObject['metadata']> = {}): KubeObject {
    this.#generation += 1
    const own = {
      namespace: NAMESPACE,
      name,
      uid: `uid-${name}`,
      generation: this.#generation,
      finalizers: [FINALIZER],
    }
    const object = { apiVersion: API_VERSION, kind, metadata: { ...own, ...more }, spec }
    const change = this.catalogue.put(object)
    for (const runtime of change?.runtimes ?? []) this.units.wake({ namespace: NAMESPACE, name: runtime })
    return object
  }

  #objectOf(name: string): KubeObject {
    const { object } = this.pod(name)
    return { ...object, metadata: { ...object.metadata, ...this.podMetadata.get(name) } }
  }

  #podsOf(key: string): KubeObject[] {
    for (const [name, pods] of this.#selected)
      if (keyOfName({ namespace: NAMESPACE, name }) === key) return pods.map((pod) => this.#objectOf(pod))
    return []
  }
}

const holdBack = (pod: FakePod): (() => void) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  pod.gate = () => promise
  return () => {
    pod.gate = () => undefined
    resolve()
  }
}

describe('an AgentRuntime', () => {
  test('gets a unit, which gives its pods what is declared for it', async () => {
    const scene = new Scene()
    scene.runtime('east', ['p'])
    scene.runtime('west', ['q'])
    scene.agent('a', 'east')
    scene.agent('b', 'west')
    await scene.quiet()
    expect(scene.serving()).toEqual({ p: 'a', q: 'b' })
    expect(await scene.touched()).toEqual(['a', 'b', 'east', 'west'])
    const { selections } = scene
    expect([...selections.values()].map(({ matchLabels }) => matchLabels.for)).toEqual(['east', 'west'])
  })

  test('that is gone has no unit, wants nothing any more, and its objects are looked at again', async () => {
    const scene = new Scene()
    scene.runtime('east', ['p'])
    scene.agent('a', 'east')
    await scene.quiet()
    await scene.touched()
    scene.remove('east')
    await scene.quiet()
    expect(scene.of('east')).toBeUndefined()
    expect(scene.dependents.wanted.get('east')).toEqual([])
    expect(await scene.touched()).toEqual(['a', 'east'])
    const {
      closed,
      sent: { length: sent },
    } = scene.pod('p')
    expect(closed).toBe(1)
    scene.agent('b', 'east')
    await scene.pass(1_000)
    expect(scene.pod('p').sent).toHaveLength(sent)
  })

  test('makes its namespace known only when all of it know their pods', async () => {
    const scene = new Scene()
    scene.isListed = false
    scene.runtime('east', ['p'])
    await scene.quiet()
    expect(scene.units.isAware(NAMESPACE)).toBe(false)
    scene.isListed = true
    scene.units.wakeNamespace(NAMESPACE)
    await scene.quiet()
    expect(scene.units.isAware(NAMESPACE)).toBe(true)
    scene.runtime('west', [])
    expect(scene.units.isAware(NAMESPACE)).toBe(false)
    await scene.quiet()
    expect([scene.units.isAware(NAMESPACE), scene.units.isAware('other')]).toEqual([true, true])
  })
})

describe('an AgentRuntime whose pods the operator runs', () => {
  const view = (scene: Scene) => scene.units.managed({ namespace: NAMESPACE, name: 'main' })

  test('is found them by its label, and gives them what is declared', async () => {
    const scene = new Scene()
    scene.managed('main', ['main-runtime-1-a'])
    scene.agent('a', 'main')
    await scene.quiet()
    expect(scene.serving()).toEqual({ 'main-runtime-1-a': 'a' })
    expect([...scene.selections.values()].map(({ matchLabels }) => matchLabels)).toEqual([
      { 'midflight.dev/runtime': 'main' },
    ])
    expect(view(scene)).toMatchObject({ replicas: 1, problems: [], selector: 'midflight.dev/runtime=main' })
  })

  test('has a pod that said nothing as long as nobody knows its pods, so that no token is replaced before', async () => {
    const scene = new Scene()
    const states = () => scene.units.statesOf({ namespace: NAMESPACE, name: 'main' })
    scene.isListed = false
    scene.managed('main', ['main-runtime-1-a'])
    scene.units.wake({ namespace: NAMESPACE, name: 'main' })
    await scene.quiet()
    expect(states()).toEqual([undefined])
    scene.isListed = true
    scene.units.wake({ namespace: NAMESPACE, name: 'main' })
    await scene.quiet()
    expect(states()).toMatchObject([{ complete: true }])
    scene.managed('main', [])
    scene.units.wake({ namespace: NAMESPACE, name: 'main' })
    await scene.quiet()
    expect(states()).toEqual([])
  })

  test('has no pod that only has its label, and tells one that is on its way out nothing any more', async () => {
    const scene = new Scene()
    scene.managed('main', ['main-runtime-1-a', 'main-runtime-1-b', 'stranger-runtime-1-c'])
    scene.agent('a', 'main')
    scene.podMetadata.set('main-runtime-1-b', {
      ...scene.podMetadata.get('main-runtime-1-b'),
      deletionTimestamp: '2026-01-01T00:00:00Z',
    })
    await scene.quiet()
    expect(scene.serving()).toEqual({ 'main-runtime-1-a': 'a', 'main-runtime-1-b': '', 'stranger-runtime-1-c': '' })
    expect([...(view(scene)?.pods.keys() ?? [])]).toEqual(['main-runtime-1-a'])
  })

  test('keeps its pods from an older one that selects them', async () => {
    const scene = new Scene()
    scene.runtime('old', ['main-runtime-1-a'])
    scene.managed('main', ['main-runtime-1-a'])
    scene.agent('a', 'main')
    await scene.quiet()
    expect(scene.serving()).toEqual({ 'main-runtime-1-a': 'a' })
    expect(scene.of('old')?.view.claimedPods).toEqual(['main-runtime-1-a'])
  })

  test('has everything of it looked at again when something else is to be said of it, and only then', async () => {
    const scene = new Scene()
    scene.managed('main', ['main-runtime-1-a'])
    scene.agent('a', 'main')
    await scene.pass(2_000)
    await scene.touched()
    scene.units.wake({ namespace: NAMESPACE, name: 'main' })
    await scene.quiet()
    expect(await scene.touched()).toEqual([])
    scene.problems = [{ reason: 'NameTaken', message: 'taken' }]
    scene.units.wake({ namespace: NAMESPACE, name: 'main' })
    await scene.pass(500)
    expect(await scene.touched()).toEqual(['a', 'main'])
    expect(view(scene)?.problems).toEqual(scene.problems)
  })

  test('that takes running pods from now on is told of as such', async () => {
    const scene = new Scene()
    scene.managed('main', [])
    await scene.quiet()
    scene.runtime('main', ['p'])
    scene.agent('a', 'main')
    await scene.pass(2_000)
    expect(view(scene)).toBeUndefined()
    expect(scene.serving()).toEqual({ p: 'a' })
  })
})

describe('a pod that two select', () => {
  test('belongs to the older, and the younger says which it does not have', async () => {
    const scene = new Scene()
    scene.runtime('old', ['p'], 1)
    scene.runtime('young', ['p', 'q'], 2)
    scene.agent('a', 'old')
    scene.agent('b', 'young')
    await scene.quiet()
    expect(scene.serving()).toEqual({ p: 'a', q: 'b' })
    expect(scene.of('young')?.view.claimedPods).toEqual(['p'])
    expect(scene.of('old')?.view.claimedPods).toEqual([])
  })

  test('is handed over to the younger when the older is gone', async () => {
    const scene = new Scene()
    scene.runtime('old', ['p'], 1)
    scene.runtime('young', ['p', 'q'], 2)
    scene.agent('a', 'old')
    scene.agent('b', 'young')
    await scene.quiet()
    scene.remove('old')
    await scene.pass(2_000)
    expect(scene.serving()).toEqual({ p: 'b', q: 'b' })
    expect(scene.pod('p').registry.state()).toMatchObject({ claimedBy: `${NAMESPACE}/young/uid-young`, complete: true })
    expect(scene.of('young')?.view.claimedPods).toEqual([])
  })

  test('is handed over to an older one that selects it from now on', async () => {
    const scene = new Scene()
    scene.runtime('old', [], 1)
    scene.runtime('young', ['p'], 2)
    scene.agent('a', 'old')
    scene.agent('b', 'young')
    await scene.quiet()
    expect(scene.serving()).toEqual({ p: 'b' })
    scene.runtime('old', ['p'], 1)
    scene.units.wakeNamespace(NAMESPACE)
    await scene.pass(2_000)
    expect(scene.serving()).toEqual({ p: 'a' })
    expect(scene.pod('p').registry.state().claimedBy).toBe(`${NAMESPACE}/old/uid-old`)
  })
})

describe('an Agent that moves', () => {
  async function moving() {
    const scene = new Scene()
    scene.runtime('east', ['p'])
    scene.runtime('west', ['q'])
    scene.agent('a', 'east')
    scene.agent('stays', 'west')
    await scene.quiet()
    const release = holdBack(scene.pod('q'))
    const object = scene.agent('a', 'west')
    await scene.quiet()
    return { scene, release, object }
  }

  test('stays where it was until it is served where it goes', async () => {
    const { scene, release, object } = await moving()
    expect(scene.serving()).toEqual({ p: 'a', q: 'stays' })
    release()
    await scene.quiet()
    expect(scene.serving()).toEqual({ p: 'a', q: 'a stays' })
    scene.units.arrived(object)
    await scene.quiet()
    expect(scene.serving()).toEqual({ p: '', q: 'a stays' })
  })

  test('stays where it was while the one that it names does not exist', async () => {
    const { scene, release } = await moving()
    scene.agent('a', 'nowhere')
    release()
    await scene.pass(5_000)
    expect(scene.serving().p).toBe('a')
  })

  test('stays where it was as long as it is refused where it goes', async () => {
    const { scene, release, object } = await moving()
    const entry = scene.catalogue.get('Agent', object.metadata)?.entry
    if (entry?.type === 'parsed') scene.pod('q').refused.add(entry.item.revision)
    release()
    await scene.pass(5_000)
    scene.units.arrived(object)
    await scene.quiet()
    expect(scene.serving()).toEqual({ p: 'a', q: 'stays' })
  })

  test('and comes back is given back nothing', async () => {
    const { scene, release } = await moving()
    scene.agent('a', 'east')
    const sent = scene.pod('p').sent.length
    release()
    await scene.pass(20_000)
    expect(scene.serving()).toEqual({ p: 'a', q: 'stays' })
    expect(scene.pod('p').sent).toHaveLength(sent)
  })
})

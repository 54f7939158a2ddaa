import { describe, expect, test } from '@jest/globals'
import type { ItemStatus, Kind } from '../../api/index.ts'
import { ApiError, createExpectations, type KubeClient, type KubeObject, type Outcome } from '../../kube/index.ts'
import type { UnitEvent } from '../unit/events.ts'
import { type FakePod, NAMESPACE, object, TestUnit } from '../unit/unit.fixture.ts'
import { FINALIZER } from '../world/catalogue.ts'
import { itemKey } from './keys.ts'
import { ItemReconciler, type Units } from './reconcile.ts'

const SIGNAL = new AbortController().signal
const BARE = { finalizers: [] }
const LEAVING = { deletionTimestamp: '2026-01-01T00:00:00Z' }
const TOKEN = { name: 'management', key: 'token' }
const MODELS = [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'hello' }] }]
const ADOPTED = { adopt: { selector: { matchLabels: { app: 'runtime' } }, tokenSecretRef: TOKEN } }

/** An AgentRuntime with pods, and objects at an API server that answers at once and tells in the watch when it is told to. */
class Scene implements Units {
  readonly world: TestUnit
  /** Every write that was asked for. */
  readonly writes: string[] = []
  readonly events: string[] = []
  readonly arrivals: string[] = []
  hasRuntime = true
  /** What the next write is refused with. */
  refusal: ApiError | undefined
  readonly #stored = new Map<string, KubeObject>()
  readonly #items: ItemReconciler
  #version = 0

  constructor(pods = 2) {
    this.world = new TestUnit(pods)
    const { clock, catalogue } = this.world
    const expectations = createExpectations({ cache: { resourceVersion: undefined }, clock })
    this.#items = new ItemReconciler({
      client: { patch: async (...call) => this.#patch(...call) },
      catalogue,
      units: this,
      expectations: () => expectations,
      clock,
      record: ({ metadata }, event) => void this.events.push(this.#said(metadata.name, event)),
    })
  }

  managed: Units['managed'] = () => undefined
  of: Units['of'] = ({ name }) => (this.hasRuntime && name === 'main' ? this.world.unit : undefined)
  inNamespace: Units['inNamespace'] = () => [this.world.unit]
  exists: Units['exists'] = ({ name }) => this.hasRuntime && name === 'main'
  isAware: Units['isAware'] = () => this.world.unit.isAware
  arrived: Units['arrived'] = ({ metadata }) => void this.arrivals.push(metadata.name)

  /** An object as somebody applies it. */
  apply(kind: Kind, name: string, spec: object, metadata: Partial<KubeObject['metadata']> = {}): void {
    this.#version += 1
    const resourceVersion = String(this.#version)
    const own = kind === 'AgentRuntime' ? { models: MODELS, ...spec } : { runtime: 'main', ...spec }
    this.#show(object(kind, name, own, { ...BARE, generation: this.#version, resourceVersion, ...metadata }))
  }

  /** Somebody deletes it: it stays until its finalizers are gone. */
  delete(kind: Kind, name: string): void {
    const stored = this.stored(kind, name)
    this.#version += 1
    const metadata = { ...stored.metadata, ...LEAVING, resourceVersion: String(this.#version) }
    this.#show({ ...stored, metadata })
  }

  stored(kind: Kind, name: string): KubeObject {
    const found = this.#stored.get(`${kind}/${name}`)
    if (found === undefined) throw new Error(`there is no ${kind} ${name}`)
    return found
  }

  status = (kind: Kind, name: string) => this.stored(kind, name).status as ItemStatus | undefined

  condition(kind: Kind, name: string, type: string): string | undefined {
    const found = this.status(kind, name)?.conditions?.find((condition) => condition.type === type)
    return found && `${found.status} ${found.reason}`
  }

  reconcile(kind: Kind, name: string): Promise<Outcome> {
    return this.#items.reconcile(itemKey(kind, { namespace: NAMESPACE, name }), SIGNAL)
  }

  /** Reconciles the object and lets the unit work, and that once more, until both have come to rest. */
  async settle(kind: Kind, name: string): Promise<Outcome> {
    await this.world.quiet()
    for (;;) {
      const before = this.writes.length
      const outcome = await this.reconcile(kind, name)
      await this.world.quiet()
      if (this.writes.length === before) return outcome
    }
  }

  #show(next: KubeObject): void {
    this.#stored.set(`${next.kind}/${next.metadata.name}`, next)
    this.world.catalogue.put(next)
    this.world.wake()
  }

  #patch(...[{ kind }, { name, subresource }, patch]: Parameters<KubeClient['patch']>): KubeObject {
    const stored = this.stored(kind as Kind, name)
    this.writes.push(`${subresource ?? 'finalizer'} of ${name}`)
    const { refusal } = this
    this.refusal = undefined
    if (refusal) throw refusal
    const body = patch.body as { metadata: KubeObject['metadata']; status?: object }
    if (body.metadata.resourceVersion !== stored.metadata.resourceVersion) throw apiError(409, 'Conflict')
    this.#version += 1
    const { finalizers = stored.metadata.finalizers ?? [] } = body.metadata
    const metadata = { ...stored.metadata, finalizers, resourceVersion: String(this.#version) }
    const next = { ...stored, metadata, status: body.status ?? stored.status }
    this.#show(next)
    return next
  }

  #said = (name: string, { reason, type }: UnitEvent): string => `${type} ${reason} of ${name}`
}

const apiError = (code: number, reason: string) => new ApiError({ code, reason, message: reason })

/** An AgentRuntime whose pods serve agent `a`. */
async function serving(pods?: number): Promise<Scene> {
  const scene = new Scene(pods)
  scene.apply('AgentRuntime', 'main', ADOPTED)
  scene.apply('Agent', 'a', {})
  await scene.settle('AgentRuntime', 'main')
  await scene.settle('Agent', 'a')
  await scene.settle('AgentRuntime', 'main')
  scene.writes.length = 0
  scene.events.length = 0
  return scene
}

const hang = (pod: FakePod | undefined): (() => void) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (pod) pod.gate = () => promise
  return resolve
}

describe('the finalizer', () => {
  test('is on an object before any pod is sent it', async () => {
    const scene = new Scene()
    const guarded: unknown[] = []
    for (const pod of scene.world.pods)
      pod.gate = ({ items }) => {
        if ('agents/a' in items) guarded.push(scene.stored('Agent', 'a').metadata.finalizers)
      }
    scene.apply('AgentRuntime', 'main', ADOPTED)
    scene.apply('Agent', 'a', {})
    await scene.settle('AgentRuntime', 'main')
    expect(guarded).toEqual([])
    await scene.settle('Agent', 'a')
    expect(guarded).toEqual([[FINALIZER], [FINALIZER]])
    expect(scene.condition('Agent', 'a', 'Ready')).toBe('True Served')
  })

  test('is left out where there are no pods', async () => {
    const scene = await serving(0)
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual([])
    expect(scene.condition('Agent', 'a', 'Ready')).toBe('False PodsNotFound')
  })

  test('is there before the first pod of an AgentRuntime that the operator runs', async () => {
    const scene = new Scene(0)
    scene.apply('AgentRuntime', 'main', { replicas: 0 })
    scene.apply('Agent', 'a', {})
    await scene.settle('AgentRuntime', 'main')
    await scene.settle('Agent', 'a')
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual([FINALIZER])
  })

  test('stays beside those of others', async () => {
    const scene = new Scene()
    scene.apply('AgentRuntime', 'main', ADOPTED)
    scene.apply('Agent', 'a', {}, { finalizers: ['other/one'] })
    await scene.settle('AgentRuntime', 'main')
    await scene.settle('Agent', 'a')
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual(['other/one', FINALIZER])
  })

  test('is written again soon when somebody else wrote in between', async () => {
    const scene = new Scene()
    scene.apply('AgentRuntime', 'main', ADOPTED)
    await scene.settle('AgentRuntime', 'main')
    scene.apply('Agent', 'a', {})
    await scene.world.quiet()
    scene.refusal = apiError(409, 'Conflict')
    expect(await scene.reconcile('Agent', 'a')).toEqual({ type: 'requeue', afterMs: 50 })
    await scene.settle('Agent', 'a')
    expect(scene.condition('Agent', 'a', 'Ready')).toBe('True Served')
  })
})

describe('a status', () => {
  test('is written once a change, and not at all when nothing has changed', async () => {
    const scene = await serving()
    scene.apply('Agent', 'a', { role: 'new' }, { finalizers: [FINALIZER] })
    await scene.settle('Agent', 'a')
    expect(scene.writes).toEqual(['status of a'])
    expect(await scene.settle('Agent', 'a')).toEqual({ type: 'settled' })
    expect(scene.writes).toEqual(['status of a'])
    const { generation } = scene.stored('Agent', 'a').metadata
    expect(scene.status('Agent', 'a')?.observedGeneration).toBe(generation)
  })

  test('is not written before the unit knows what pods there are', async () => {
    const scene = new Scene()
    scene.apply('AgentRuntime', 'main', ADOPTED)
    scene.apply('Agent', 'a', {})
    scene.world.dependents.isSynced = false
    expect(await scene.settle('Agent', 'a')).toEqual({ type: 'settled' })
    expect(scene.writes).toEqual([])
  })

  test('of what names no AgentRuntime says so, without a finalizer', async () => {
    const scene = new Scene()
    scene.apply('Agent', 'a', { runtime: 'other' })
    await scene.settle('Agent', 'a')
    expect(scene.condition('Agent', 'a', 'Ready')).toBe('False RuntimeNotFound')
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual([])
  })

  test('says what it takes to call the pods when that is missing', async () => {
    const scene = new Scene()
    scene.world.dependents.put('Secret', 'management', 'missing')
    scene.apply('AgentRuntime', 'main', ADOPTED)
    scene.apply('Agent', 'a', {})
    await scene.settle('AgentRuntime', 'main')
    await scene.settle('Agent', 'a')
    expect(scene.condition('AgentRuntime', 'main', 'Ready')).toBe('False SecretNotFound')
    expect(scene.condition('AgentRuntime', 'main', 'Reconciling')).toBe('True SecretNotFound')
    expect(scene.condition('Agent', 'a', 'Ready')).toBe('False SecretNotFound')
  })

  test.each<[string, number, Outcome['type']]>([
    ['is gone', 404, 'settled'],
    ['has changed since', 409, 'requeue'],
    ['the server finds impossible', 422, 'stalled'],
    ['the server is too busy for', 503, 'retry'],
  ])('of an object that %s', async (_, code, outcome) => {
    const scene = await serving()
    scene.apply('Agent', 'a', { role: 'new' }, { finalizers: [FINALIZER] })
    await scene.world.quiet()
    scene.refusal = apiError(code, 'Refused')
    expect((await scene.reconcile('Agent', 'a')).type).toBe(outcome)
  })

  test('that serves wakes whoever waits to let go of it', async () => {
    const scene = await serving()
    expect(scene.arrivals).toContain('a')
  })
})

describe('an Event', () => {
  test('is told once when an object comes to stand still', async () => {
    const scene = await serving()
    scene.apply('Agent', 'a', { maxSteps: -1 }, { finalizers: [FINALIZER] })
    await scene.settle('Agent', 'a')
    await scene.settle('Agent', 'a')
    expect(scene.events).toEqual(['Warning InvalidSpec of a'])
    expect(scene.condition('Agent', 'a', 'Stalled')).toBe('True InvalidSpec')
  })

  test('is told of the revision that a pod refuses', async () => {
    const scene = await serving()
    scene.apply('Agent', 'a', { role: 'bad' }, { finalizers: [FINALIZER] })
    scene.world.pods[1]?.refused.add(scene.world.revision('agents/a'))
    await scene.settle('Agent', 'a')
    await scene.settle('Agent', 'a')
    expect(scene.condition('Agent', 'a', 'Stalled')).toMatch(/^True /)
    expect(scene.events).toHaveLength(1)
  })

  test('is told of the AgentRuntime alone when many share what was refused', async () => {
    const scene = await serving()
    scene.world.configMap('files', { 'tools/x.ts': 'one' })
    scene.apply(
      'AgentRuntime',
      'main',
      { ...ADOPTED, bundles: [{ name: 'files', configMap: 'files' }] },
      { finalizers: [FINALIZER] },
    )
    scene.apply('Agent', 'a', { tools: ['x'] }, { finalizers: [FINALIZER] })
    await scene.settle('AgentRuntime', 'main')
    await scene.settle('Agent', 'a')
    scene.events.length = 0
    scene.world.configMap('files', { 'tools/x.ts': 'broken' })
    await scene.settle('AgentRuntime', 'main')
    await scene.settle('Agent', 'a')
    expect(scene.condition('Agent', 'a', 'Stalled')).toBe('True InvalidSyntax')
    expect(scene.events).toEqual(['Warning InvalidSyntax of main'])
  })

  test('warns of plain HTTP with the first report of a spec, and no more', async () => {
    const scene = new Scene()
    scene.apply('AgentRuntime', 'main', ADOPTED)
    await scene.settle('AgentRuntime', 'main')
    await scene.settle('AgentRuntime', 'main')
    expect(scene.events).toEqual(['Warning InsecureConnection of main'])
  })
})

describe('an object that is being deleted', () => {
  test('goes when every pod has let go of it', async () => {
    const scene = await serving()
    const release = hang(scene.world.pods[1])
    scene.delete('Agent', 'a')
    await scene.world.quiet()
    expect(await scene.reconcile('Agent', 'a')).toMatchObject({ type: 'requeue' })
    expect(scene.writes).toEqual([])
    release()
    await scene.settle('Agent', 'a')
    expect(scene.writes).toEqual(['finalizer of a'])
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual([])
  })

  test('goes after half a minute, whatever a pod that hangs still has', async () => {
    const scene = await serving()
    hang(scene.world.pods[1])
    scene.delete('Agent', 'a')
    await scene.world.quiet()
    expect(await scene.reconcile('Agent', 'a')).toEqual({ type: 'requeue', afterMs: 30_000 })
    scene.world.clock.advance(29_999)
    expect(await scene.reconcile('Agent', 'a')).toEqual({ type: 'requeue', afterMs: 1 })
    scene.world.clock.advance(1)
    expect(await scene.reconcile('Agent', 'a')).toEqual({ type: 'settled' })
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual([])
  })

  test('does not wait for a pod that does not answer', async () => {
    const scene = await serving()
    const [, pod] = scene.world.pods
    if (pod) pod.isReachable = false
    await scene.world.pass(2_000)
    scene.delete('Agent', 'a')
    await scene.settle('Agent', 'a')
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual([])
  })

  test('waits as long as it is not known which pods there are', async () => {
    const scene = await serving()
    scene.world.restart(6)
    scene.delete('Agent', 'a')
    expect(await scene.reconcile('Agent', 'a')).toEqual({ type: 'requeue', afterMs: 30_000 })
  })

  test('keeps the finalizers of others', async () => {
    const scene = new Scene()
    scene.apply('AgentRuntime', 'main', ADOPTED)
    scene.apply('Agent', 'a', {}, { finalizers: ['other/one'] })
    await scene.settle('AgentRuntime', 'main')
    await scene.settle('Agent', 'a')
    scene.delete('Agent', 'a')
    await scene.settle('Agent', 'a')
    expect(scene.stored('Agent', 'a').metadata.finalizers).toEqual(['other/one'])
    expect(scene.writes.filter((write) => write === 'finalizer of a')).toHaveLength(2)
  })

  test('is not reported on', async () => {
    const scene = await serving()
    scene.delete('Agent', 'a')
    await scene.settle('Agent', 'a')
    expect(scene.writes).toEqual(['finalizer of a'])
  })

  test('and is an AgentRuntime goes when no pod has its claim any more', async () => {
    const scene = await serving()
    const release = hang(scene.world.pods[0])
    scene.delete('AgentRuntime', 'main')
    await scene.world.quiet()
    expect(await scene.reconcile('AgentRuntime', 'main')).toMatchObject({ type: 'requeue' })
    release()
    await scene.settle('AgentRuntime', 'main')
    expect(scene.stored('AgentRuntime', 'main').metadata.finalizers).toEqual([])
    expect(scene.world.pods.map(({ registry }) => registry.state().claimedBy)).toEqual([undefined, undefined])
  })
})

test('an object that is gone is forgotten', async () => {
  const scene = await serving()
  scene.world.catalogue.remove(scene.stored('Agent', 'a'))
  expect(await scene.reconcile('Agent', 'a')).toEqual({ type: 'settled' })
  expect(scene.writes).toEqual([])
})

import { describe, expect, test } from '@jest/globals'
import { type AgentRuntimeSpec, API_VERSION, agentRuntimeSpec } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import { ApiError, type KubeClient, type KubeObject, type Outcome } from '../../kube/index.ts'
import { INSTALLATION, inputOf, RUNTIME } from './children.fixture.ts'
import { templateFor } from './kept.ts'
import { type ObjectEvent, type Prepared, RuntimeObjects } from './objects.ts'
import { CHILD_TYPES, type ChildKind } from './owned.ts'
import { podTemplate } from './template.ts'

const KEY = 'team/main'
const kindOf = (plural: string) => Object.values(CHILD_TYPES).find((type) => type.plural === plural)?.kind as ChildKind

/** The API server, what the watch shows of it, and one AgentRuntime. */
class Scene {
  readonly clock = createVirtualClock()
  readonly objects: RuntimeObjects
  readonly stored = new Map<ChildKind, KubeObject>()
  /** Every request that changes something, as `apply Service`, `force Service` or `delete Service`. */
  writes: string[] = []
  readonly events: ObjectEvent[] = []
  changes = 0
  prepared: Prepared = { type: 'ready' }
  /** What a write of a kind is answered with. */
  readonly refusals = new Map<ChildKind, ApiError>()
  /** What the API server makes of what it is given. */
  normalise: (object: KubeObject) => KubeObject = (object) => object
  metadata: object = {}
  status: object | undefined
  spec: AgentRuntimeSpec | undefined
  #version = 0

  constructor(spec: object = {}) {
    this.declare(spec)
    const isLabelled = (object: KubeObject) => object.metadata.labels?.['app.kubernetes.io/managed-by'] === 'midflight'
    this.objects = new RuntimeObjects({
      client: {
        get: async ({ plural }) => this.stored.get(kindOf(plural)),
        patch: async (...call) => this.#patch(...call),
        delete: async (...call) => this.#delete(...call),
      },
      declared: () => ('gone' in this.metadata ? undefined : { object: this.#object, spec: this.spec }),
      children: {
        get: (kind) => {
          const object = this.stored.get(kind)
          return object && isLabelled(object) ? object : undefined
        },
        wrote: () => undefined,
      },
      installation: INSTALLATION,
      prepare: async () => this.prepared,
      clock: this.clock,
      record: (_, event) => void this.events.push(event),
      onChange: () => {
        this.changes += 1
      },
    })
  }

  declare(spec: object): void {
    this.spec = agentRuntimeSpec.parse(spec)
  }

  put(kind: ChildKind, parts: object, metadata: object): void {
    const common = {
      apiVersion: 'v1',
      kind,
      metadata: { namespace: 'team', name: 'main-runtime', uid: `foreign-${kind}` },
    }
    this.stored.set(kind, { ...common, ...parts, metadata: { ...common.metadata, ...metadata } })
  }

  reconcile(): Promise<Outcome> {
    return this.objects.reconcile(KEY, new AbortController().signal)
  }

  /** What one reconcile writes. */
  async written(): Promise<string[]> {
    this.writes = []
    await this.reconcile()
    return this.writes
  }

  get problems() {
    return this.objects.problems(RUNTIME)
  }

  get #object(): KubeObject {
    const metadata = { ...RUNTIME, generation: 1, ...this.metadata }
    return { apiVersion: API_VERSION, kind: 'AgentRuntime', metadata, ...(this.status && { status: this.status }) }
  }

  #refuse(kind: ChildKind): void {
    const refusal = this.refusals.get(kind)
    if (refusal) throw refusal
  }

  async #patch(...[type, , patch]: Parameters<KubeClient['patch']>): Promise<KubeObject> {
    const kind = kindOf(type.plural)
    this.writes.push(`${patch.type === 'apply' && patch.force ? 'force' : 'apply'} ${kind}`)
    this.#refuse(kind)
    const body = patch.body as KubeObject
    const before = this.stored.get(kind)?.metadata
    if (body.metadata.uid !== before?.uid) throw new ApiError({ code: 409, reason: 'Conflict', message: 'another uid' })
    this.#version += 1
    const metadata = {
      ...body.metadata,
      uid: before?.uid ?? `uid-${this.#version}`,
      resourceVersion: `${this.#version}`,
    }
    const object = this.normalise({ ...body, metadata })
    this.stored.set(kind, object)
    return object
  }

  async #delete(...[type, , { uid }]: Parameters<KubeClient['delete']>): Promise<void> {
    const kind = kindOf(type.plural)
    this.writes.push(`delete ${kind}`)
    this.#refuse(kind)
    if (this.stored.get(kind)?.metadata.uid !== uid)
      throw new ApiError({ code: 409, reason: 'Conflict', message: 'uid' })
    this.stored.delete(kind)
  }
}

const ALL = ['ServiceAccount', 'NetworkPolicy', 'Service', 'Deployment']
const refusal = (code: number, message: string) => new ApiError({ code, reason: 'Refused', message })

describe('the objects of an AgentRuntime', () => {
  test('are all made, of what is not there nothing by force, and then left as they are', async () => {
    const scene = new Scene()
    expect(await scene.written()).toEqual(ALL.map((kind) => `apply ${kind}`))
    expect(scene.events.map(({ reason, note }) => `${reason}: ${note}`)).toContain(
      'Created: Service "main-runtime" was created',
    )
    expect(await scene.written()).toEqual([])
    expect(scene.problems).toEqual([])
  })

  test('are brought back by force, each only when it is another', async () => {
    const scene = new Scene()
    await scene.reconcile()
    const service = scene.stored.get('Service') as KubeObject
    scene.stored.set('Service', { ...service, spec: {} })
    expect(await scene.written()).toEqual(['force Service'])
    expect(scene.events.at(-1)).toMatchObject({ type: 'Normal', reason: 'Updated' })
    scene.stored.delete('Deployment')
    expect(await scene.written()).toEqual(['apply Deployment'])
  })

  test('keep the pods that another version of the operator made of the same, and have just those put back', async () => {
    const scene = new Scene()
    await scene.reconcile()
    const { stored } = scene
    const before = stored.get('Deployment') as KubeObject
    const { runtime, spec, installation } = inputOf()
    const image = { image: installation.image ?? '', pullPolicy: installation.imagePullPolicy }
    const input = { ...runtime, spec, image, bundles: spec.bundles }
    const { template, annotations } = templateFor(undefined, input, (asked) => {
      const made = podTemplate(asked)
      return { ...made, spec: { ...made.spec, terminationGracePeriodSeconds: 1 } }
    })
    const of = (pods: object) => ({ ...before, spec: { ...(before.spec as object), template: pods } })
    stored.set('Deployment', { ...of(template), metadata: { ...before.metadata, annotations } })
    await scene.reconcile()
    expect(stored.get('Deployment')?.spec).toMatchObject({ template: { spec: { terminationGracePeriodSeconds: 1 } } })
    expect(await scene.written()).toEqual([])
    stored.set('Deployment', {
      ...of(podTemplate(input)),
      metadata: stored.get('Deployment')?.metadata ?? before.metadata,
    })
    expect(await scene.written()).toEqual(['force Deployment'])
    expect(stored.get('Deployment')?.spec).toMatchObject({ template })
    scene.declare({ drainSeconds: 100 })
    await scene.reconcile()
    expect(stored.get('Deployment')?.spec).toMatchObject({ template: { spec: { terminationGracePeriodSeconds: 150 } } })
  })

  test('lose a field that is wanted no more, which no comparison of fields shows', async () => {
    const scene = new Scene({ pod: { nodeSelector: { disk: 'ssd' } } })
    await scene.reconcile()
    scene.declare({})
    expect(await scene.written()).toEqual(['force Deployment'])
  })

  test('that are not needed any more are deleted once, though the watch shows them a little longer', async () => {
    const scene = new Scene({ replicas: 2 })
    await scene.reconcile()
    scene.declare({ replicas: 1 })
    const budget = scene.stored.get('PodDisruptionBudget') as KubeObject
    expect(await scene.written()).toEqual(['delete PodDisruptionBudget', 'force Deployment'])
    expect(scene.events.map(({ reason }) => reason)).toContain('Deleted')
    scene.stored.set('PodDisruptionBudget', budget)
    expect(await scene.written()).toEqual([])
  })

  test('are all deleted when it takes running pods', async () => {
    const scene = new Scene()
    await scene.reconcile()
    scene.declare({ adopt: { selector: { matchLabels: { app: 'x' } }, tokenSecretRef: { name: 'a', key: 'b' } } })
    expect(await scene.written()).toEqual(ALL.map((kind) => `delete ${kind}`))
    expect(await scene.written()).toEqual([])
  })

  test('stay as they are while its spec cannot be read, and when it is gone', async () => {
    const scene = new Scene()
    await scene.reconcile()
    scene.stored.delete('Service')
    scene.spec = undefined
    expect(await scene.written()).toEqual([])
    scene.metadata = { gone: true }
    expect(await scene.written()).toEqual([])
  })

  test('are not asked for again when the API server writes them in its own words', async () => {
    const scene = new Scene({ pod: { tolerations: [{ key: 'a', odd: 1 }] } })
    scene.normalise = (object) =>
      object.kind === 'Deployment'
        ? { ...object, spec: JSON.parse(JSON.stringify(object.spec).replace(',"odd":1', '')) }
        : object
    await scene.reconcile()
    expect(await scene.written()).toEqual([])
  })
})

describe('pods', () => {
  test('are not made before what they start with is there, which holds up nothing else', async () => {
    const scene = new Scene()
    scene.prepared = { type: 'loading' }
    expect(await scene.written()).toEqual(['apply ServiceAccount', 'apply NetworkPolicy', 'apply Service'])
    scene.prepared = { type: 'ready', lookAgainMs: 5_000 }
    scene.writes = []
    expect(await scene.reconcile()).toEqual({ type: 'requeue', afterMs: 5_000 })
    expect(scene.writes).toEqual(['apply Deployment'])
  })

  test('that there are follow what is declared, whatever has become of that', async () => {
    const scene = new Scene()
    await scene.reconcile()
    const problem = { reason: 'AuthorityUnusable', message: 'the authority cannot be read' } as const
    scene.prepared = { type: 'problem', problem }
    scene.declare({ replicas: 3 })
    expect(await scene.written()).toEqual(['apply PodDisruptionBudget', 'force Deployment'])
    expect(scene.problems).toEqual([problem])
    scene.prepared = { type: 'failed', error: 'no answer' }
    expect(await scene.reconcile()).toEqual({ type: 'retry', error: 'no answer' })
  })
})

describe('what somebody else has made under its name', () => {
  test('is not touched, is told with the way out, and is looked for again', async () => {
    const scene = new Scene()
    scene.put('Service', { spec: {} }, {})
    const outcome = await scene.reconcile()
    expect(scene.writes).toEqual(['apply ServiceAccount', 'apply NetworkPolicy', 'apply Deployment'])
    expect(scene.problems).toMatchObject([
      { reason: 'NameTaken', message: expect.stringMatching(/^Service "main-runtime" .*delete it/) },
    ])
    expect(outcome).toEqual({ type: 'requeue', afterMs: 30_000 })
    scene.stored.delete('Service')
    expect(await scene.written()).toEqual(['apply Service'])
    expect(scene.problems).toEqual([])
  })

  test.each<[string, object, string[]]>([
    [
      'of an AgentRuntime of that name that is gone is waited for',
      {
        labels: { 'app.kubernetes.io/managed-by': 'midflight', 'midflight.dev/runtime': 'main' },
        ownerReferences: [{ kind: 'AgentRuntime', name: 'main', uid: 'other', controller: true }],
      },
      [],
    ],
    [
      'with its labels and no owner is its own',
      { labels: { 'app.kubernetes.io/managed-by': 'midflight', 'midflight.dev/runtime': 'main' } },
      ['force Service'],
    ],
    [
      'with it as the owner and no label is its own',
      { ownerReferences: [{ kind: 'AgentRuntime', name: 'main', uid: RUNTIME.uid, controller: true }] },
      ['force Service'],
    ],
    [
      'that is on its way out is waited for',
      {
        deletionTimestamp: 'now',
        ownerReferences: [{ kind: 'AgentRuntime', name: 'main', uid: RUNTIME.uid, controller: true }],
      },
      [],
    ],
  ])('%s', async (_, metadata, expected) => {
    const scene = new Scene()
    scene.put('Service', { spec: {} }, metadata)
    expect((await scene.written()).filter((write) => write.endsWith(' Service'))).toEqual(expected)
  })

  test('is told with what it belongs to', async () => {
    const scene = new Scene()
    const ownerReferences = [{ kind: 'Database', name: 'mine', uid: 'other', controller: true }]
    scene.put('Service', { spec: {} }, { ownerReferences })
    await scene.reconcile()
    expect(scene.problems).toMatchObject([{ message: expect.stringContaining('that of Database "mine"') }])
    expect(scene.problems).toHaveLength(1)
  })

  test('is told in an Event once, and not again by a process that finds the status saying it', async () => {
    const scene = new Scene()
    scene.put('Service', { spec: {} }, {})
    await scene.reconcile()
    await scene.reconcile()
    const told = scene.events.filter(({ type }) => type === 'Warning')
    expect(told).toMatchObject([{ reason: 'NameTaken' }])
    const again = new Scene()
    again.put('Service', { spec: {} }, {})
    again.status = { conditions: [{ message: told[0]?.note }] }
    await again.reconcile()
    expect(again.events.filter(({ type }) => type === 'Warning')).toEqual([])
  })
})

describe('what the API server refuses', () => {
  test('is told with its field, holds up nothing else, and is asked for again only half a minute later', async () => {
    const scene = new Scene()
    scene.refusals.set(
      'Deployment',
      refusal(422, 'Deployment.apps "main-runtime" is invalid: spec.template.spec.affinity.x: bad'),
    )
    scene.refusals.set('Service', refusal(403, 'exceeded quota'))
    expect(await scene.written()).toEqual(ALL.map((kind) => `apply ${kind}`))
    expect(scene.problems).toMatchObject([
      { reason: 'ObjectRefused', message: 'the API server refuses the Service: exceeded quota' },
      { reason: 'InvalidSpec', path: 'spec.pod.affinity' },
    ])
    scene.clock.advance(10_000)
    scene.writes = []
    expect(await scene.reconcile()).toEqual({ type: 'requeue', afterMs: 20_000 })
    expect(scene.writes).toEqual([])
    expect(scene.problems).toHaveLength(2)
    scene.refusals.clear()
    scene.clock.advance(20_000)
    expect(await scene.written()).toEqual(['apply Service', 'apply Deployment'])
    expect(scene.problems).toEqual([])
  })

  test('is asked for at once when it is declared in another way', async () => {
    const scene = new Scene()
    scene.refusals.set('Deployment', refusal(422, 'bad'))
    await scene.reconcile()
    scene.refusals.clear()
    scene.declare({ drainSeconds: 5 })
    expect(await scene.written()).toEqual(['apply Deployment'])
    expect(scene.problems).toEqual([])
    // Once when it came and once when it went.
    expect(scene.changes).toBe(2)
  })

  test('for something that came in between is asked for again at once, and what got no answer too', async () => {
    const scene = new Scene()
    scene.refusals.set('Service', refusal(409, 'conflict'))
    expect(await scene.reconcile()).toEqual({ type: 'requeue', afterMs: 200 })
    const lost = refusal(0, 'lost')
    scene.refusals.set('Service', lost)
    expect(await scene.reconcile()).toEqual({ type: 'retry', error: lost })
    expect(scene.problems).toEqual([])
  })
})

import {
  API_VERSION,
  type ApplyRequest,
  type ApplyResponse,
  type BundleFiles,
  type ItemId,
  type Kind,
  ProblemError,
} from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import type { KubeObject } from '../../kube/types.ts'
import { Registry } from '../../runtime/registry/index.ts'
import { FakeLoader, filesOf, loadModel } from '../../runtime/registry/registry.fixture.ts'
import { FakeBootSecrets, packNow } from '../boot/boot.fixture.ts'
import { BootRecord } from '../boot/index.ts'
import type { Dependents, FoundObject } from '../dependents/index.ts'
import { connectPod } from '../pods/index.ts'
import type { RuntimeTarget } from '../ports.ts'
import { createCatalogue, FINALIZER } from '../world/catalogue.ts'
import type { UnitDeps } from './deps.ts'
import type { UnitEvent } from './events.ts'
import { RuntimeUnit } from './unit.ts'

export const NAMESPACE = 'team'
const TOKEN_REF = { name: 'management', key: 'token' }
const MODELS = [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'hello' }] }]
const ADOPT = { selector: { matchLabels: { app: 'runtime' } }, tokenSecretRef: TOKEN_REF }

const unreachable = () => new ProblemError({ reason: 'RuntimeUnreachable', message: 'nobody answers' })

const SILENT = { warn: () => undefined }

/** A pod with a real registry in it, which a test makes misbehave. */
export class FakePod {
  readonly name: string
  readonly uid: string
  registry: Registry
  /** Every call that reached it. */
  readonly sent: ApplyRequest[] = []
  /** Revisions and hashes that it alone refuses. */
  readonly refused = new Set<string>()
  /** Awaited before a call is taken in. */
  gate: (request: ApplyRequest) => Promise<void> | void = () => undefined
  /** Awaited before its state is told. */
  stateGate: () => Promise<void> | void = () => undefined
  /** Kubernetes' condition Ready. */
  isReady = true
  /** How often whoever followed it gave it up. */
  closed = 0
  static #made = 0
  #isReachable = true
  #boots = 0
  #cut = new AbortController()

  constructor(name: string) {
    this.name = name
    FakePod.#made += 1
    this.uid = `uid-${FakePod.#made}`
    this.registry = this.#boot()
  }

  get object(): KubeObject {
    const conditions = [{ type: 'Ready', status: this.isReady ? 'True' : 'False' }]
    const status = { phase: 'Running', podIP: this.name, conditions }
    return { apiVersion: 'v1', kind: 'Pod', metadata: { name: this.name, namespace: NAMESPACE, uid: this.uid }, status }
  }

  /** Calls of a mode, oldest first. */
  calls(mode: ApplyRequest['mode']): ApplyRequest[] {
    return this.sent.filter((request) => request.mode === mode)
  }

  restart(): void {
    this.registry = this.#boot()
    this.#breakOff()
  }

  set isReachable(isReachable: boolean) {
    this.#isReachable = isReachable
    if (!isReachable) this.#breakOff()
  }

  get isReachable(): boolean {
    return this.#isReachable
  }

  /** Revision of what serves, by item; of a bundle its hash. */
  get serving(): Record<string, string> {
    const { items, bundles } = this.registry.state()
    return Object.fromEntries([
      ...Object.entries(items).flatMap(([id, { active }]) => (active ? [[id, active.revision]] : [])),
      ...Object.entries(bundles).flatMap(([name, { active }]) => (active ? [[`bundle/${name}`, active]] : [])),
    ])
  }

  readonly target: RuntimeTarget & { close(): void } = {
    state: async () => {
      await this.stateGate()
      this.#reach()
      return { type: 'state', state: this.registry.state() }
    },
    apply: (request) => this.#apply(request),
    events: (signal, lastEventId) => {
      this.#reach()
      return this.registry.events(AbortSignal.any([signal, this.#cut.signal]), lastEventId)
    },
    close: () => {
      this.closed += 1
    },
  }

  async #apply(request: ApplyRequest): Promise<ApplyResponse> {
    this.#reach()
    this.sent.push(request)
    const { registry } = this
    await this.gate(request)
    this.#reach()
    const items = Object.entries(request.items).map(([id, item]) =>
      this.refused.has(item.revision) ? [id, { ...item, definition: 'refused here' }] : [id, item],
    )
    return registry.apply({ ...request, items: Object.fromEntries(items) })
  }

  #reach(): void {
    if (!this.#isReachable) throw unreachable()
  }

  #breakOff(): void {
    this.#cut.abort(unreachable())
    this.#cut = new AbortController()
  }

  #boot(): Registry {
    this.#boots += 1
    const loader = new FakeLoader()
    const loadBundle = async (bundle: BundleFiles, packages: readonly string[]) => {
      if (!this.refused.has(bundle.hash)) return loader.load(bundle, packages)
      throw new ProblemError({ reason: 'ToolLoadFailed', message: 'refused here' })
    }
    return new Registry({ bootId: `${this.uid}-${this.#boots}`, loadModel, loadBundle })
  }
}

/** ConfigMaps and Secrets as a test sets them. */
export class FakeDependents implements Dependents {
  readonly wanted = new Map<string, readonly string[]>()
  isSynced = true
  /** ConfigMaps with the labels that are asked for. */
  selected: readonly string[] = []
  readonly #found = new Map<string, FoundObject | 'missing'>()
  #version = 0

  put(kind: 'ConfigMap' | 'Secret', name: string, entries: Readonly<Record<string, string>> | 'missing'): void {
    this.#version += 1
    const own = { labels: {}, annotations: {}, owners: [] }
    const common = { creationTimestamp: '', ...own, uid: `uid-${name}`, resourceVersion: `${this.#version}` }
    const found = entries === 'missing' ? entries : { ...common, data: filesOf(entries) as FoundObject['data'] }
    this.#found.set(`${kind}/${name}`, found)
  }

  forget(kind: 'ConfigMap' | 'Secret', name: string): void {
    this.#found.delete(`${kind}/${name}`)
  }

  #view(key: string): ReturnType<Dependents['secret']> {
    const found = this.#found.get(key)
    if (found === undefined) return { type: 'loading' }
    return found === 'missing' ? { type: 'missing' } : { type: 'found', ...found }
  }

  follow = () => undefined
  want: Dependents['want'] = (owner, { configMaps, secrets }) =>
    void this.wanted.set(owner.name, [...configMaps, ...secrets])
  configMap: Dependents['configMap'] = (_, name) => this.#view(`ConfigMap/${name}`)
  secret: Dependents['secret'] = (_, name) => this.#view(`Secret/${name}`)
  secretStands = () => true
  labelled = () => [...this.selected]
  hasSynced = () => this.isSynced
}

/** An object as the API server has it, with the finalizer. */
export function object(kind: Kind, name: string, spec: object, metadata: Partial<KubeObject['metadata']> = {}) {
  const own = { namespace: NAMESPACE, name, uid: `uid-${name}`, generation: 1, finalizers: [FINALIZER] }
  return { apiVersion: API_VERSION, kind, metadata: { ...own, ...metadata }, spec } satisfies KubeObject
}

/** Lets everything that is ready run. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** One AgentRuntime, `main`, with pods, and everything that it is told. Reconciles whenever it is woken. */
export class TestUnit {
  readonly clock = createVirtualClock()
  readonly catalogue = createCatalogue()
  readonly dependents = new FakeDependents()
  /** What is known of it across restarts of the operator. */
  readonly bootSecrets = new FakeBootSecrets()
  readonly pods: FakePod[]
  readonly events: { readonly about: ItemId; readonly event: UnitEvent }[] = []
  readonly touched: (ItemId | 'all')[] = []
  readonly propagated: string[] = []
  /** Items that another AgentRuntime is to serve and does not yet. */
  readonly moving = new Set<ItemId>()
  drifts = 0
  reconciles = 0
  lost: readonly string[] = []
  /** Of the AgentRuntime, from when it is put next. */
  status: Record<string, unknown> = {}
  /** ConfigMaps that pods mount, by bundle. */
  mounts: ReadonlyMap<string, string> = new Map()
  unit: RuntimeUnit
  #isWoken = true
  #isRunning = false
  #generation = 1
  #stop = new AbortController()
  #boot: BootRecord | undefined

  constructor(count = 3, { fence = 5 }: { readonly fence?: number } = {}) {
    this.pods = Array.from({ length: count }, (_, index) => new FakePod(`pod-${index}`))
    this.dependents.put('Secret', TOKEN_REF.name, { token: 'secret' })
    this.runtime({})
    this.unit = this.#start(fence)
  }

  /** The AgentRuntime as declared from now on. */
  runtime(spec: object, metadata: Partial<KubeObject['metadata']> = {}): void {
    this.put('AgentRuntime', 'main', { adopt: ADOPT, models: MODELS, ...spec }, metadata)
  }

  agent(name: string, spec: object = {}, metadata: Partial<KubeObject['metadata']> = {}): void {
    this.put('Agent', name, { runtime: 'main', ...spec }, metadata)
  }

  put(kind: Kind, name: string, spec: object, metadata: Partial<KubeObject['metadata']> = {}): void {
    this.#generation += 1
    const own = object(kind, name, spec, { generation: this.#generation, ...metadata })
    this.catalogue.put(kind === 'AgentRuntime' ? { ...own, status: this.status } : own)
    this.wake()
  }

  delete(kind: Kind, name: string): void {
    this.catalogue.remove(object(kind, name, {}))
    this.wake()
  }

  configMap(name: string, entries: Readonly<Record<string, string>> | 'missing'): void {
    this.dependents.put('ConfigMap', name, entries)
    this.wake()
  }

  wake(): void {
    this.#isWoken = true
  }

  /** Nothing follows the pods any more. */
  end(): void {
    this.#stop.abort(new Error('the operator ends'))
  }

  /** The operator stops, and has the time to write what is not written yet. Nothing is reconciled any more. */
  async stop(): Promise<void> {
    this.end()
    await turns()
    await this.#boot?.flush(new AbortController().signal)
  }

  /** Another process of the operator, which knows nothing. */
  restart(fence: number): void {
    this.end()
    this.#stop = new AbortController()
    this.unit = this.#start(fence)
    this.wake()
  }

  /** Reconciles as often as it is woken, until nothing happens any more without time passing. */
  async quiet(): Promise<void> {
    let count = 0
    for (let idle = 0; idle < 6; idle++) {
      if (this.#isWoken && !this.#isRunning) {
        idle = 0
        count += 1
        if (count > 300) throw new Error('it reconciles without end')
        this.#reconcile()
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Lets time pass, a step after the other. */
  async pass(ms: number, stepMs = 250): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(left, stepMs))
      await this.quiet()
    }
  }

  revision(id: ItemId): string {
    const revision = [...this.catalogue.of({ namespace: NAMESPACE, name: 'main' })].flatMap(({ entry }) =>
      entry.id === id && entry.type === 'parsed' ? [entry.item.revision] : [],
    )[0]
    if (revision === undefined) throw new Error(`${id} is not declared`)
    return revision
  }

  #reconcile(): void {
    this.#isWoken = false
    this.#isRunning = true
    this.reconciles += 1
    void this.unit.reconcile().then((outcome) => {
      this.#isRunning = false
      if (outcome.type === 'requeue') this.clock.timer(outcome.afterMs, () => this.wake())
    })
  }

  #start(fence: number): RuntimeUnit {
    const { clock, catalogue, dependents } = this
    const name = { namespace: NAMESPACE, name: 'main' }
    const deps: UnitDeps = {
      clock,
      inTurn: (task) => task(),
      boot: this.#openBoot(fence),
      catalogue,
      dependents,
      fence,
      trusted: () => ({ type: 'loading' }),
      object: () => catalogue.get('AgentRuntime', name)?.object,
      pods: () => ({ owned: this.pods.map((pod) => pod.object), lost: this.lost }),
      isMoving: (id) => this.moving.has(id),
      mounts: () => this.mounts,
      reach: ({ host }) => this.#podAt(host).target,
      connect: (pod, target, told, signal) => connectPod({ pod, target, clock, ...told, random: () => 0 }, signal),
      metrics: {
        propagated: (kind) => void this.propagated.push(kind),
        driftRepaired: () => {
          this.drifts += 1
        },
      },
      wake: () => this.wake(),
      touch: (items) => void this.touched.push(...(items === 'all' ? ['all'] : items)),
      record: (about, event) => void this.events.push({ about, event }),
    }
    return new RuntimeUnit(name, deps, this.#stop.signal)
  }

  #openBoot(fence: number): BootRecord {
    const { clock, bootSecrets: secrets } = this
    const owner = { namespace: NAMESPACE, name: 'main', uid: 'uid-main' }
    const common = { clock, fence, secrets, stands: secrets.stands, random: () => 0, log: SILENT, pack: packNow }
    this.#boot = new BootRecord(
      { ...common, runtime: owner, inTurn: (task) => task(), owner: () => owner, onChange: () => this.wake() },
      this.#stop.signal,
    )
    return this.#boot
  }

  #podAt(host: string): FakePod {
    const pod = this.pods.find(({ name }) => name === host)
    if (pod === undefined) throw new Error(`there is no pod at ${host}`)
    return pod
  }
}

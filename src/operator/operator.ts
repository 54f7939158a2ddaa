import { createHash } from 'node:crypto'
import pLimit from 'p-limit'
import type { Registry } from 'prom-client'
import type { Kind } from '../api/index.ts'
import type { Clock } from '../clock.ts'
import {
  type ApiError,
  type ClusterConfig,
  createClient,
  createControllerMetrics,
  createLeaderMetrics,
  createQueueMetrics,
  createRecorder,
  createRestMetrics,
  createTransport,
  createWatchMetrics,
  createWorkQueue,
  type KubeClient,
  keyOfName,
  LEASE_TIMINGS,
  type LeaseLost,
  type LeaseName,
  type LeaseTimings,
  type ObjectName,
  PRIORITY,
  type Priority,
  runController,
  runElected,
  stampLease,
  type WatchClient,
  type WorkQueue,
} from '../kube/index.ts'
import type { Log } from '../log.ts'
import { BootRecords, createBootSecrets } from './boot/index.ts'
import { type Concerned, createDependents, type Dependents } from './dependents/index.ts'
import { Deployments } from './deployments.ts'
import { itemKey } from './items/keys.ts'
import { ItemReconciler } from './items/reconcile.ts'
import { type OperatorMetrics, operatorMetrics, podCallMetrics, UNIT_PREFIX } from './metrics.ts'
import { connectPod, createStateInterner } from './pods/index.ts'
import type { Installation } from './runtimes/index.ts'
import { counted, createEventParser, createHttpTarget, createTurns } from './target/index.ts'
import { createTrust, LIFETIMES, type Lifetimes } from './trust/index.ts'
import { Units } from './units.ts'
import { type ChildWatches, watchChildren } from './world/children.ts'
import { watchPods } from './world/pod-watches.ts'
import { createWatchLog } from './world/watch-log.ts'
import { type World, watchWorld } from './world/world.ts'
import { guarded, type RecordEvent, recordAndLog, type Writer } from './writer.ts'

export type OperatorOptions = {
  readonly cluster: ClusterConfig
  /** Empty: all of them. */
  readonly namespaces: readonly string[]
  /** How many objects are worked on at once. */
  readonly workers: number
  readonly leaderElection: boolean
  readonly leaseNamespace: string
  /** Which operators wait for each other: those of one Lease. Those of the same namespaces when absent. */
  readonly leaseName?: string | undefined
  /** Unique to this process: a pod's name and something random. */
  readonly identity: string
  readonly log: Log
  readonly clock: Clock
  readonly registry: Registry
  /** What pods are made from unless an AgentRuntime says otherwise. */
  readonly installation: Omit<Installation, 'namespace'>
  /** Of the election; {@link LEASE_TIMINGS} when absent. */
  readonly leaseTimings?: LeaseTimings
  /** Of certificates and tokens; {@link LIFETIMES} when absent. */
  readonly lifetimes?: Lifetimes
}

/** How far an operator has come. `standby`: its caches are warm, another one leads. */
export type OperatorPhase = 'syncing' | 'standby' | 'leading' | 'stopping'

export type OperatorOutcome =
  | { readonly type: 'ended' }
  /** Another operator leads, or may: this process must end at once. */
  | { readonly type: 'lost'; readonly error: LeaseLost }
  /** The Lease, without which nothing may be written, cannot be had. */
  | { readonly type: 'refused'; readonly error: ApiError }

export interface Operator {
  readonly phase: OperatorPhase
  /** False when it has come to a stand from which only a new process helps. */
  readonly isAlive: boolean
  /** Resolves when the signal has aborted and what was under way has ended, or when the lease is lost. */
  readonly ended: Promise<OperatorOutcome>
}

/** Large calls to pods at once: more would hold hundreds of megabytes for a large fleet. */
const LARGE_CALLS = 16
/** Boot sets that are read or written at once: each is some megabytes, and many times that while it is unpacked. */
const BOOT_SETS = 4
/** How long one object's reconcile may take: a few requests. */
const ITEM_TIMEOUT_MS = 60_000

/** The Lease that is named, else that of the operators of these namespaces: others get another one. */
function leaseNameOf({ namespaces, leaseNamespace, leaseName }: OperatorOptions): LeaseName {
  if (leaseName !== undefined) return { namespace: leaseNamespace, name: leaseName }
  const hash = createHash('sha256')
    .update([...namespaces].sort().join(','))
    .digest('hex')
  return { namespace: leaseNamespace, name: `midflight-operator-${hash.slice(0, 8)}` }
}

/** Starts an operator: it warms its caches, waits until it leads, and then keeps the registries of all runtimes as declared. */
export function startOperator(options: OperatorOptions, signal: AbortSignal): Operator {
  let phase: OperatorPhase = 'syncing'
  const enter = (next: OperatorPhase): void => {
    phase = next
    options.log.info(`operator is ${next}`)
  }
  let process: OperatorProcess | undefined
  const begun = (started: OperatorProcess): void => {
    process = started
  }
  const ended = run(options, { enter, begun }, signal).finally(() => {
    phase = 'stopping'
  })
  return {
    ended,
    get isAlive() {
      return process?.isAlive ?? true
    },
    get phase() {
      return phase
    },
  }
}

type Progress = { enter(phase: OperatorPhase): void; begun(process: OperatorProcess): void }

async function run(
  options: OperatorOptions,
  { enter, begun }: Progress,
  signal: AbortSignal,
): Promise<OperatorOutcome> {
  const { cluster, registry, clock, log, identity } = options
  const { leaseTimings = LEASE_TIMINGS } = options
  const connection = new AbortController()
  const metrics = createRestMetrics(registry, new URL(cluster.server).host)
  const client = createClient(createTransport(cluster, { signal: connection.signal, metrics, clock }))
  const process = new OperatorProcess(options, client)
  begun(process)
  try {
    await process.warmUp(signal)
    if (signal.aborted) return { type: 'ended' }
    const lease = leaseNameOf(options)
    const leaders = createLeaderMetrics(registry).of(lease.name)
    if (!options.leaderElection) {
      const stamp = await stampLease({ client, lease, identity, clock, log }, signal)
      if (stamp.type === 'refused') return stamp
      if (stamp.type === 'stopped') return { type: 'ended' }
      enter('leading')
      await process.lead({ fence: stamp.fence, isHeld: () => true }, signal)
      return { type: 'ended' }
    }
    enter('standby')
    const election = { client, lease, identity, clock, log, metrics: leaders, timings: leaseTimings }
    return await runElected(
      election,
      async (leadership) => {
        enter('leading')
        await process.lead(leadership, leadership.signal)
      },
      signal,
    )
  } finally {
    process.stop()
    connection.abort()
  }
}

/** What one process of an operator is made of. Its parts that read are always on; those that write need leadership. */
class OperatorProcess {
  readonly #options: OperatorOptions
  readonly #client: KubeClient & WatchClient
  readonly #watchMetrics
  readonly #watchLog
  readonly #metrics: OperatorMetrics
  readonly #countCall: ReturnType<typeof podCallMetrics>
  readonly #items: WorkQueue
  readonly #runtimes: WorkQueue
  readonly #deploymentQueue: WorkQueue
  readonly #stop = new AbortController()
  #world: World | undefined
  #children: ChildWatches | undefined
  #units: Units | undefined

  constructor(options: OperatorOptions, client: KubeClient & WatchClient) {
    const { registry, clock } = options
    this.#options = options
    this.#client = client
    this.#watchMetrics = createWatchMetrics(registry)
    this.#watchLog = createWatchLog(options)
    this.#countCall = podCallMetrics(registry)
    const queues = createQueueMetrics(registry)
    const priorities = Object.values(PRIORITY)
    this.#items = createWorkQueue({ clock, metrics: queues.of('objects', priorities) })
    this.#runtimes = createWorkQueue({ clock, metrics: queues.of('runtimes', priorities) })
    this.#deploymentQueue = createWorkQueue({ clock, metrics: queues.of('deployments', priorities) })
    const units = () => [...(this.#units?.all() ?? [])]
    this.#metrics = operatorMetrics(registry, {
      podsBehind: (kind) => units().reduce((sum, { acknowledged }) => sum + acknowledged.behind(UNIT_PREFIX[kind]), 0),
      bootSetsUnwritten: () => units().filter(({ view }) => view.boot !== undefined).length,
      stalled: () => this.#world?.stalled() ?? {},
      cached: () => ({ ...this.#world?.counts(), ...this.#children?.counts() }),
    })
  }

  get isAlive(): boolean {
    return (this.#world?.isAlive ?? true) && (this.#children?.isAlive ?? true)
  }

  /** Fills the caches and keeps them warm. */
  async warmUp(signal: AbortSignal): Promise<void> {
    const { namespaces, clock, log } = this.#options
    const ends = AbortSignal.any([signal, this.#stop.signal])
    const watching = { client: this.#client, namespaces, clock, log, metrics: this.#watchMetrics }
    const common = { ...watching, watchLog: this.#watchLog }
    const world = watchWorld(
      {
        ...common,
        onObject: ({ object, change, isInitial, isOwn }) => {
          const { namespace, name } = object.metadata
          const priority = isInitial ? PRIORITY.LOW : PRIORITY.HIGH
          if (!isOwn) this.#items.add(itemKey(object.kind as Kind, { namespace, name }), { priority })
          for (const runtime of change?.runtimes ?? []) this.#wake({ namespace, name: runtime }, priority)
          if (object.kind !== 'AgentRuntime' || change === undefined) return
          this.#deploymentQueue.add(keyOfName({ namespace, name }), { priority })
          this.#followRuntimes(namespace)
        },
      },
      ends,
    )
    const onChange = (runtime: ObjectName, isInitial: boolean): void => {
      const priority = isInitial ? PRIORITY.LOW : PRIORITY.HIGH
      this.#deploymentQueue.add(keyOfName(runtime), { priority })
      this.#wake(runtime, priority)
    }
    const children = watchChildren({ ...common, onChange }, ends)
    this.#world = world
    this.#children = children
    await Promise.all([world.synced(signal), children.synced(signal)]).catch(() => undefined)
  }

  #wake(runtime: ObjectName, priority: Priority): void {
    if (this.#units) this.#units.wake(runtime, priority)
    else this.#runtimes.add(keyOfName(runtime), { priority })
  }

  #followRuntimes(namespace: string | undefined): void {
    this.#units?.follow()
    this.#units?.wakeNamespace(namespace)
  }

  /** Writes, until the signal aborts. */
  async lead(leadership: Writer, signal: AbortSignal): Promise<void> {
    const { clock, log, identity } = this.#options
    const client = guarded(this.#client, leadership)
    const reporter = { controller: 'midflight.dev/operator', instance: identity.slice(0, 128) }
    const recorder = createRecorder({ client, reporter, clock, log }, signal)
    const { world, children } = this.#warm
    const record = recordAndLog(recorder, log)
    const { units, deployments, boot } = this.#startUnits({ client, fence: leadership.fence, record }, signal)
    const items = new ItemReconciler({
      client,
      clock,
      units,
      catalogue: world.catalogue,
      expectations: (kind, namespace) => world.expectations(kind, namespace),
      record,
    })
    await this.#runControllers({ units, items, deployments }, signal)
    await boot.flush()
    await recorder.ended
    this.stop()
    await Promise.all([world.ended, children.ended])
  }

  /** Ends what keeps the caches warm. */
  stop(): void {
    this.#stop.abort()
  }

  get #warm(): { readonly world: World; readonly children: ChildWatches } {
    const [world, children] = [this.#world, this.#children]
    if (world === undefined || children === undefined) throw new Error('caches are warmed before anything is written')
    return { world, children }
  }

  #startDeployments({ client, record }: Writing, dependents: Dependents, signal: AbortSignal): Deployments {
    const { clock, log, installation, leaseNamespace: namespace, lifetimes = LIFETIMES } = this.#options
    const onTrust = (runtime: ObjectName): void => {
      deployments.wake(runtime)
      this.#units?.wake(runtime)
    }
    const deployments = new Deployments({
      ...{ client, record, clock, queue: this.#deploymentQueue, ...this.#warm },
      trust: createTrust({ client, dependents, namespace, clock, log, lifetimes, onChange: onTrust }, signal),
      installation: { ...installation, namespace },
      onChange: (runtime) => this.#units?.wake(runtime),
      statesOf: (runtime) => this.#units?.statesOf(runtime) ?? [undefined],
    })
    return deployments
  }

  #startUnits(writing: Writing, signal: AbortSignal): Started {
    const { clock, log } = this.#options
    const interner = createStateInterner()
    const common = { clock, turns: createTurns(), parseEvent: createEventParser() }
    const watching = { client: this.#client, clock, log, metrics: this.#watchMetrics, watchLog: this.#watchLog }
    const wake: Units['wakeNamespace'] = (...concerned) => this.#units?.wakeNamespace(...concerned)
    const onDependents = (namespace: string, runtimes: Concerned): void => {
      wake(namespace, runtimes)
      deployments.wakeNamespace(namespace, runtimes)
    }
    const isMissed = (secret: ObjectName, runtime: string): boolean => boot.isMissed(secret, runtime)
    const dependents = createDependents({ ...watching, onChange: onDependents, isMissed }, signal)
    const deployments = this.#startDeployments(writing, dependents, signal)
    const { client, fence } = writing
    const boot = new BootRecords(
      {
        ...{ fence, clock, log, inTurn: pLimit(BOOT_SETS) },
        secrets: createBootSecrets({ ...client, list: (...args) => this.#client.list(...args) }),
        stands: ({ namespace = '', name }, version) => dependents.secretStands(namespace, name, version),
      },
      signal,
    )
    const units = new Units(
      {
        world: this.#warm.world,
        pods: watchPods({ ...watching, onChange: ({ namespace }) => wake(namespace) }, signal),
        dependents,
        own: deployments.ownPods,
        boot,
        unitQueue: this.#runtimes,
        itemQueue: this.#items,
        shared: {
          fence,
          clock,
          inTurn: pLimit(LARGE_CALLS),
          metrics: this.#metrics,
          reach: (to) => counted(createHttpTarget({ ...to, ...common }), this.#countCall),
          connect: (pod, target, told, ends) =>
            connectPod({ target, pod, clock, ...told, interner, onDivergence: this.#metrics.driftRepaired }, ends),
        },
        record: writing.record,
      },
      signal,
    )
    this.#units = units
    units.follow()
    return { units, deployments, boot }
  }

  async #runControllers({ units, items, deployments }: Reconcilers, signal: AbortSignal): Promise<void> {
    const { clock, log, workers, registry } = this.#options
    const metrics = createControllerMetrics(registry)
    const common = { workers, clock, log }
    const runtimes = {
      name: 'runtimes',
      queue: this.#runtimes,
      metrics: metrics.of('runtimes'),
      reconcile: (key: string) => units.reconcile(key),
    }
    const objects = {
      name: 'objects',
      queue: this.#items,
      metrics: metrics.of('objects'),
      timeoutMs: ITEM_TIMEOUT_MS,
      reconcile: (key: string, until: AbortSignal) => items.reconcile(key, until),
    }
    const managed = {
      name: 'deployments',
      queue: this.#deploymentQueue,
      metrics: metrics.of('deployments'),
      timeoutMs: ITEM_TIMEOUT_MS,
      reconcile: (key: string, until: AbortSignal) => deployments.objects.reconcile(key, until),
    }
    await Promise.all([
      runController({ ...common, ...runtimes }, signal),
      runController({ ...common, ...objects }, signal),
      runController({ ...common, ...managed }, signal),
    ])
  }
}

/** What writing to the API server takes. */
type Writing = {
  readonly client: ReturnType<typeof guarded>
  readonly fence: number
  readonly record: RecordEvent
}

type Started = { readonly units: Units; readonly deployments: Deployments; readonly boot: BootRecords }

type Reconcilers = { readonly units: Units; readonly items: ItemReconciler; readonly deployments: Deployments }

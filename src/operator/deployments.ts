import type { Clock } from '../clock.ts'
import { keyOfName, type ObjectName, PRIORITY, type Priority, type WorkQueue } from '../kube/index.ts'
import type { Concerned } from './dependents/index.ts'
import type { PodState } from './ports.ts'
import { childName, type DeclaredRuntime, type Installation, type Prepared, RuntimeObjects } from './runtimes/index.ts'
import type { Trust } from './trust/index.ts'
import { runtimeSpecOf, sourceOf } from './unit/inputs.ts'
import type { OwnPods } from './units.ts'
import { isLeaving } from './world/catalogue.ts'
import type { ChildWatches } from './world/children.ts'
import { runtimesIn, type World } from './world/world.ts'
import type { GuardedClient, RecordEvent } from './writer.ts'

export type DeploymentsOptions = {
  readonly client: GuardedClient
  readonly world: Pick<World, 'catalogue' | 'runtimes'>
  readonly children: ChildWatches
  readonly trust: Trust
  readonly installation: Installation
  /** Of AgentRuntimes, by their key. */
  readonly queue: WorkQueue
  readonly clock: Clock
  readonly record: RecordEvent
  /** What is known of the pods of an AgentRuntime, or of how they are called, has changed. */
  readonly onChange: (runtime: ObjectName) => void
  /** What each pod that is not on its way out said of itself. */
  readonly statesOf: (runtime: ObjectName) => readonly (PodState | undefined)[]
}

/** What AgentRuntimes without `adopt` need besides what their pods are told: Secrets first, then all the other objects. */
export class Deployments {
  readonly objects: RuntimeObjects
  readonly #options: DeploymentsOptions

  constructor(options: DeploymentsOptions) {
    const { world, installation, children, clock, client, record, onChange } = options
    this.#options = options
    this.objects = new RuntimeObjects({
      declared: (name) => {
        const object = world.catalogue.get('AgentRuntime', name)?.object
        if (object && !isLeaving(object)) return { object, spec: runtimeSpecOf(world.catalogue, name) }
        if (object === undefined) options.trust.forget(name)
        return undefined
      },
      prepare: (declared, signal) => this.#prepare(declared, signal),
      ...{ installation, children, clock, client, record, onChange },
    })
  }

  /** What reports and calls to the pods need to know. */
  get ownPods(): OwnPods {
    const { children, trust } = this.#options
    return {
      problems: (runtime) => this.objects.problems(runtime),
      deployment: ({ namespace, name }) => children.get('Deployment', { namespace, name: childName(name) }),
      trusted: (runtime) => trust.access(runtime),
      onCredentials: (runtime) => this.wake(runtime),
    }
  }

  wake(runtime: ObjectName, priority: Priority = PRIORITY.HIGH): void {
    this.#options.queue.add(keyOfName(runtime), { priority })
  }

  /** Secrets of a namespace changed. */
  wakeNamespace(namespace: string, concerned: Concerned): void {
    for (const runtime of runtimesIn(this.#options.world, namespace, concerned)) this.wake(runtime)
  }

  async #prepare({ object: runtime, spec }: DeclaredRuntime, signal: AbortSignal): Promise<Prepared> {
    const { trust, statesOf, onChange, world } = this.#options
    const { namespace, name } = runtime.metadata
    const about = { namespace, name }
    const source = sourceOf(world.catalogue, about)
    if (source.type !== 'managed') {
      if (source.type === 'adopted') trust.forget(about)
      return { type: 'ready' }
    }
    // As long as nobody can say who may call it, its key is left alone.
    const auth = spec === undefined ? 'none' : (spec.auth?.type ?? 'key')
    const before = trust.access(about).type
    const pods = statesOf(about).map((state) => ({ tokenIds: state?.credentials?.tokenIds }))
    try {
      return await trust.reconcile({ runtime, auth, pods }, signal)
    } catch (error) {
      return { type: 'failed', error }
    } finally {
      if (trust.access(about).type !== before) onChange(about)
    }
  }
}

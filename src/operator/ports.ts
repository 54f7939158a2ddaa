import type {
  ApplyRequest,
  ApplyResponse,
  BundlePush,
  BundleState,
  Credentials,
  Definition,
  HeardEvent,
  ItemId,
  ItemState,
  Kind,
  Owner,
  Problem,
  RuntimeState,
  SecretKeyRef,
} from '../api/index.ts'
import type { ObjectName } from '../kube/types.ts'

/** One runtime process, reached by the management protocol: in process, or a pod over the network. */
export interface RuntimeTarget {
  /**
   * @param etag of the state that the caller has; then the answer may be `unchanged`
   * @throws ProblemError RuntimeUnreachable, Unauthorized, ProtocolMismatch
   */
  state(signal: AbortSignal, etag?: string): Promise<StateAnswer>
  /** @throws ProblemError StaleFence, WrongTarget, Claimed, SnapshotMoved, RuntimeUnreachable, Unauthorized */
  apply(request: ApplyRequest, signal: AbortSignal): Promise<ApplyResponse>
  events(signal: AbortSignal, lastEventId?: string): AsyncIterable<HeardEvent>
}

export type StateAnswer =
  | { readonly type: 'state'; readonly state: RuntimeState; readonly etag?: string | undefined }
  | { readonly type: 'unchanged' }

/** The value of a Secret's key and a version that changes with it. Undefined when it does not exist. */
export interface SecretSource {
  read(ref: SecretKeyRef): Promise<{ version: string; value: string } | undefined>
}

/** Which object a compiled item or a problem belongs to. */
export type ObjectRef = { readonly kind: Kind; readonly name: string; readonly namespace?: string | undefined }

export type CompiledItem = {
  readonly ref: ObjectRef
  readonly revision: string
  readonly definition: Definition
}

/** What one AgentRuntime's pods should serve, as far as the objects alone tell. */
export type Compiled = {
  readonly items: ReadonlyMap<ItemId, CompiledItem>
  /** Declared, but impossible as declared: what served before goes on serving. */
  readonly held: ReadonlySet<ItemId>
  readonly problems: readonly { readonly ref: ObjectRef; readonly problem: Problem }[]
  /** Bundles of the AgentRuntime, in order. */
  readonly bundles: readonly { readonly name: string; readonly configMap: string }[]
  /** Secret keys that the settings need. */
  readonly secrets: readonly SecretKeyRef[]
}

export type PlacedItem = { readonly revision: string; readonly definition: Definition }

/** What one target should hold after a sync. */
export type Desired = {
  readonly owner: Owner
  readonly fence: number
  readonly claim: string
  readonly items: ReadonlyMap<ItemId, PlacedItem>
  readonly held: ReadonlySet<ItemId>
  /** Bundles to push. */
  readonly bundles: ReadonlyMap<string, BundlePush>
  /** Bundles that a sync leaves as they are, unless it pushes them. */
  readonly kept: ReadonlySet<string> | 'all'
  /** Bundles that are held at a hash, whatever a mount shows. */
  readonly pins: ReadonlyMap<string, string>
  readonly secrets: ReadonlyMap<string, { readonly version: string; readonly value: string }>
  /** Secrets that a sync leaves as they are, unless it brings them. */
  readonly keptSecrets: ReadonlySet<string> | 'all'
  /** Nothing that is declared waits to be placed: a target that holds all of this holds the whole. */
  readonly isWhole: boolean
}

/** How a pod answers. */
export type PodLink =
  /** Its state has not been read yet, or not since it was lost. */
  | { readonly type: 'connecting' }
  | { readonly type: 'reachable' }
  /** It did not answer in time, or not as the protocol says. */
  | { readonly type: 'unreachable'; readonly problem: Problem }

/** What a pod said of itself, kept up to date by its events. Item states that are alike are one object. */
export type PodState = {
  readonly bootId: string
  readonly claimedBy: string | undefined
  readonly fence: number
  readonly complete: boolean
  readonly items: ReadonlyMap<ItemId, ItemState>
  readonly bundles: ReadonlyMap<string, BundleState>
  readonly secrets: ReadonlyMap<string, string>
  readonly pins: ReadonlyMap<string, string>
  /** Undefined where the runtime does not tell. */
  readonly credentials?: Credentials | undefined
}

/** One pod of a runtime, as Kubernetes and the pod itself tell. */
export type PodView = {
  readonly name: string
  readonly uid: string
  /** Kubernetes' condition Ready. */
  readonly isReady: boolean
  readonly link: PodLink
  /** The last state that was read; undefined before the first. */
  readonly state: PodState | undefined
}

export type PodFailure = Problem & { readonly pod: string }

/** What `check` found of a unit: no pod is given this revision, what serves goes on serving. */
export type Verdict = { readonly revision: string; readonly failures: readonly PodFailure[] }

/** A bundle as it should serve: `hash` is absent while its files are not there or cannot be used, `problem` says why. */
export type BundleView = {
  readonly configMap: string
  readonly hash?: string | undefined
  readonly problem?: Problem | undefined
}

/** Of an AgentRuntime whose pods the operator runs. */
export type ManagedView = {
  /** How many pods there should be. */
  readonly replicas: number
  /** What selects its pods, as autoscalers read it. */
  readonly selector: string
  /** Why what its pods are made from is not as declared. */
  readonly problems: readonly Problem[]
  /** Why its Deployment gets no further, as that says itself. */
  readonly stuck: Problem | undefined
  /** All of its pods that are not on their way out, by name; of each that does not come up, why. */
  readonly pods: ReadonlyMap<string, Problem | undefined>
}

/** What all reports of one AgentRuntime and of its items are made from. */
export type RuntimeView = {
  readonly name: ObjectName
  /** Its pods. */
  readonly pods: readonly PodView[]
  /** Names of pods that it selects and that belong to an older AgentRuntime. */
  readonly claimedPods: readonly string[]
  /** Revision of the settings; undefined while the AgentRuntime is impossible as declared. */
  readonly settings: string | undefined
  readonly bundles: ReadonlyMap<string, BundleView>
  /** By unit: an item's id, or `bundle/NAME`. */
  readonly verdicts: ReadonlyMap<string, Verdict>
  /** Why its pods cannot be called. */
  readonly problem?: Problem | undefined
  /** Why tools lack the value of a Secret. */
  readonly toolSecrets?: Problem | undefined
  /** Why what pods start from while no operator runs is not what serves. */
  readonly boot?: Problem | undefined
  /** Absent where its pods are adopted. */
  readonly managed?: ManagedView | undefined
}

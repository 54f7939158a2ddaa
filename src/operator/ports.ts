import type {
  ApplyRequest,
  ApplyResponse,
  BundlePush,
  Definition,
  ItemId,
  Kind,
  Owner,
  Problem,
  RuntimeEvent,
  RuntimeState,
  SecretKeyRef,
} from '../api/index.ts'

/** One runtime process, reached by the management protocol: in process, or a pod over the network. */
export interface RuntimeTarget {
  state(signal: AbortSignal): Promise<RuntimeState>
  /** @throws ProblemError StaleFence, WrongTarget, Claimed, SnapshotMoved, RuntimeUnreachable */
  apply(request: ApplyRequest, signal: AbortSignal): Promise<ApplyResponse>
  events(signal: AbortSignal, lastEventId?: string): AsyncIterable<RuntimeEvent>
}

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

/** What one target should hold after a sync. */
export type Desired = {
  readonly owner: Owner
  readonly fence: number
  readonly claim: string
  readonly items: ReadonlyMap<ItemId, { readonly revision: string; readonly definition: Definition }>
  readonly held: ReadonlySet<ItemId>
  /** Bundles to push; a bundle that the target mounts itself is not among them. */
  readonly bundles: ReadonlyMap<string, BundlePush>
  /** Bundles that the target holds by other means and that a sync leaves alone. */
  readonly mounted: ReadonlySet<string>
  readonly secrets: ReadonlyMap<string, { readonly version: string; readonly value: string }>
}

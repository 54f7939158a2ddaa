import type {
  ApplyRequest,
  ApplyResponse,
  BundleFiles,
  Definition,
  ItemResult,
  Owner,
  Problem,
  RunnablePlural,
  RuntimeEvent,
  RuntimeState,
} from '../../api/index.ts'
import type { Snapshot } from './snapshot.ts'

/** A snapshot held by a run: the registry counts it as alive until `release`. */
export type Pinned = { readonly snapshot: Snapshot; release(): void }

/** What the run side and the servers read. */
export interface SnapshotSource {
  readonly current: Snapshot
  pin(): Pinned
}

/** The management protocol, as the operator and dev mode drive it. */
export interface Management {
  state(): RuntimeState
  /** @throws ProblemError StaleFence, WrongTarget, Claimed, SnapshotMoved: then nothing was looked at */
  apply(request: ApplyRequest): Promise<ApplyResponse>
  /** Ends when the signal aborts. Never waits for a slow reader: one that falls behind gets `reset`. */
  events(signal: AbortSignal, lastEventId?: string): AsyncIterable<RuntimeEvent>
}

/** AgentOS's dynamic calls: items owned by `api`. */
export interface DynamicItems {
  /** @throws ProblemError DuplicateName when the id exists (owner api or dev), OwnedByOther when the operator owns it */
  add(definition: Definition): Promise<ItemResult>
  /** @throws ProblemError AgentNotFound…, OwnedByOther, StillReferenced */
  remove(kind: RunnablePlural, name: string): Promise<ItemResult>
  /** The owner of an item, active or waiting. */
  ownerOf(kind: RunnablePlural, name: string): Owner | undefined
}

/** The mount's side of a bundle: what a directory shows, or why it cannot be read. */
export interface MountedBundles {
  offer(bundle: BundleFiles): Promise<ItemResult>
  refuse(name: string, error: Problem): ItemResult
  /** The directory is gone or was emptied of files. */
  withdraw(name: string): Promise<ItemResult>
}

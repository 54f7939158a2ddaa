import type {
  ApplyRequest,
  ApplyResponse,
  BundleFiles,
  Definition,
  ItemResult,
  Owner,
  ProbationSpec,
  Problem,
  RunnablePlural,
  RuntimeEvent,
  RuntimeState,
} from '../../api/index.ts'
import type { ModelLoader } from './arrivals/load-models.ts'
import type { BundleLoader } from './arrivals/prepare.ts'
import type { Noticed, RegistryObserver } from './observer.ts'
import type { Snapshot } from './snapshot.ts'

export type RegistryOptions = {
  readonly loadModel: ModelLoader
  readonly loadBundle: BundleLoader
  /** Names of mounted bundles in the order in which a tool name is looked up. */
  readonly mounts?: readonly string[]
  /**
   * Which mounts may serve: all of them, which is the default, or only those that the settings name as bundles which do
   * not come by the push alone.
   */
  readonly mountsTaken?: 'all' | 'named'
  /** Who declares the bundles: what the operator does, nobody rolls back here. Default dev. */
  readonly bundleOwner?: Owner
  /** How new versions of bundles are on probation where the settings do not say. Default not at all. */
  readonly probation?: ProbationSpec | undefined
  readonly observer?: RegistryObserver
  readonly bootId?: string
  /** UID of the pod that this process runs in, told in its state. */
  readonly podUid?: string | undefined
  /** Milliseconds on a monotonic clock. */
  readonly now?: () => number
}

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
  /** @param noticed how the directory came to show it; absent when nobody knows */
  offer(bundle: BundleFiles, noticed?: Noticed): Promise<ItemResult>
  refuse(name: string, error: Problem): ItemResult
  /** The directory is gone or was emptied of files. */
  withdraw(name: string): Promise<ItemResult>
}

/** What became of going back to an earlier version of a bundle. Hashes throughout. */
export type Rollback =
  | { readonly type: 'done'; readonly from: string; readonly to: string; readonly result: ItemResult }
  | { readonly type: 'unknown' }
  /** @param held versions that can be gone back to, the latest first */
  | { readonly type: 'notHeld'; readonly held: readonly string[] }

/** What people ask of bundles by hand. */
export interface BundleControl {
  /**
   * Loads again what was refused or waits, of one bundle or of all.
   * @returns a result for each that was, by name; undefined for a bundle that there is not
   */
  retry(name?: string): Promise<ReadonlyMap<string, ItemResult> | undefined>
  /**
   * Goes back to the version that served before the one that serves, or to the one of the given hash, until the files
   * change. When that cannot serve, everything is as before.
   * @throws ProblemError OwnedByOther, the reasons of a load, StillReferenced
   */
  rollback(name: string, hash?: string): Promise<Rollback>
}

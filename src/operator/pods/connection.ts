import type { ApplyRequest, ApplyResponse, ItemId } from '../../api/index.ts'
import type { PodLink, PodState } from '../ports.ts'

/**
 * What changed since the last call. Nothing set: fence, claim, completeness, secrets, pins or credentials.
 * `items`: 'all' with the first state of a process. `restarted`: the state is another process's than the one before.
 */
export type PodChange = {
  readonly items: ReadonlySet<ItemId> | 'all'
  readonly bundles: boolean
  readonly link: boolean
  readonly restarted: boolean
}

/**
 * `reading`: the state, at first and whenever the events were lost. `following`: the events, with a look at the state
 * now and then. `backingOff`: waiting to read again.
 */
export type PodPhase = 'reading' | 'following' | 'backingOff' | 'ended'

/** One pod, as it says itself. */
export interface PodConnection {
  readonly phase: PodPhase
  readonly link: PodLink
  /** The last that is known, whatever the link: changed in place as the pod changes. Undefined before the first read. */
  readonly state: PodState | undefined
  /**
   * One call of `apply`, to the process whose state is known. Resolves once the state holds what the call did.
   * @throws ProblemError, also when the state could not be read afterwards, and WrongTarget once the state of the
   *   process that answers there now was asked for; the signal's reason when it aborts
   */
  apply(request: Omit<ApplyRequest, 'target'>, signal: AbortSignal): Promise<ApplyResponse>
  /** Reads the state again soon. */
  refresh(): void
  /** Reads at once a state that was never read: why that failed before, also in a read under way, says nothing any more. */
  askAnew(): void
  /** Resolves when the signal has aborted and nothing runs any more. Never rejects. */
  readonly ended: Promise<void>
}

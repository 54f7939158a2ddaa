import type { RunnablePlural } from '../../api/index.ts'
import type { RunEvent, RunSubject } from './events.ts'

export type RunRequest = {
  readonly kind: RunnablePlural
  readonly name: string
  readonly message: string
  /** Continues that conversation; a new one when absent. */
  readonly sessionId?: string
}

/** A run that has started. It goes on whether or not anybody reads `events`. */
export type Run = {
  readonly subject: RunSubject
  /** All events from the first on, once. Leaving the loop does not cancel the run. */
  readonly events: AsyncIterable<RunEvent>
  /** Resolves when the run has ended, however it did. */
  readonly ended: Promise<void>
  cancel(reason: string): void
}

/** What serves runs; each is pinned to the snapshot that was current when it started. */
export interface Runs {
  /** @throws ProblemError AgentNotFound, TeamNotFound, WorkflowNotFound when nothing of that name serves */
  start(request: RunRequest): Run
  /** False when no run of that id is under way. */
  cancel(runId: string, reason: string): boolean
  /** Cancels the runs of an item that was removed; resolves when they have ended. */
  cancelAll(of: { kind: RunnablePlural; name: string }, reason: string): Promise<void>
  inFlight(): number
}

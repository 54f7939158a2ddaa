import type { Problem, Reason, RunnablePlural } from '../../api/index.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import type { ExtensionDescription } from '../tools/port.ts'
import type { RunEvent, RunSubject, TokenUsage } from './events.ts'

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
  /** Cancels the runs of a kind and name, or all where neither is given; resolves when they have ended. */
  cancelAll(of: { kind?: RunnablePlural; name?: string }, reason: string): Promise<void>
  /** Runs that were asked for and have not ended; nested ones are not counted. */
  inFlight(): number
}

/** What is told of runs as they go, nested ones included: for metrics. It must not throw. */
export interface RunObserver {
  started(run: RunSubject): void
  ended(run: RunSubject, status: RunStatus, durationMs: number): void
  /** Once a finished model call; `model` is its name in the runtime's settings. */
  tokens(run: RunSubject, model: string, usage: TokenUsage): void
  /** Once a tool call; `ok`, or the reason of its failure. */
  toolCall(run: RunSubject, tool: string, result: 'ok' | Reason): void
  /** Once an event that an extension was called with; `ok`, or its failure, without the values of secrets. */
  extension(run: RunSubject, extension: ExtensionDescription, result: 'ok' | Problem): void
  /**
   * Once a call of a tool or extension file of a bundle version, with its failure, if it failed, without the values of
   * secrets. Not where the run ended meanwhile.
   */
  called(version: LoadedBundle, file: string, problem?: Problem): void
}

export type RunStatus = 'completed' | 'failed' | 'cancelled'

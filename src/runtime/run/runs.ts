import { randomUUID } from 'node:crypto'
import { problemOf } from '../../api/index.ts'
import { type Clock, systemClock } from '../../clock.ts'
import { CALL_LIMITS, type CallPolicy } from '../models/index.ts'
import type { Pinned, SnapshotSource } from '../registry/port.ts'
import type { SessionKey, SessionStore } from '../storage/index.ts'
import { runTeam } from '../team/index.ts'
import { runWorkflow } from '../workflow/index.ts'
import { runAgent } from './agent.ts'
import { type Conversation, createUsageMeter, type RunContext, subjectOf } from './context.ts'
import type { RunEvent, RunResult, RunSubject } from './events.ts'
import { cancelled } from './lifecycle.ts'
import { HISTORY_MESSAGES } from './loop.ts'
import type { Run, RunObserver, RunRequest, RunStatus, Runs } from './port.ts'
import { EventBuffer } from './stream/buffer.ts'
import type { ToolSurroundings } from './tool-context.ts'

export type RunsOptions = {
  readonly snapshots: SnapshotSource
  readonly sessions: SessionStore
  readonly observer?: RunObserver
  /** What tools and extensions get of the runtime: without it no secrets and no log. */
  readonly surroundings?: ToolSurroundings
  readonly clock?: Clock
  readonly newId?: () => string
  /** Where model calls are to be less patient than by default. */
  readonly limits?: Partial<Omit<CallPolicy, 'clock'>>
}

type ActiveRun = Run & { readonly controller: AbortController }

/**
 * Serves runs. Each pins the current snapshot until it has ended, and goes on whether or not its events are read.
 * Agents and teams continue the conversation of their session; a workflow has none.
 */
export function createRuns(options: RunsOptions): Runs {
  const { snapshots, sessions, observer, surroundings, newId = randomUUID, clock = systemClock } = options
  const policy: CallPolicy = { ...CALL_LIMITS, random: Math.random, ...options.limits, clock }
  const active = new Map<string, ActiveRun>()

  function start(request: RunRequest): Run {
    const pinned = snapshots.pin()
    try {
      const { kind, name, message, sessionId = newId() } = request
      const subject = subjectOf(pinned.snapshot, { kind, name, sessionId, runId: newId(), depth: 0 })
      const controller = new AbortController()
      return launch(pinned, controller, {
        env: { snapshot: pinned.snapshot, policy, newId, observer, surroundings, dispatch },
        subject,
        message,
        signal: controller.signal,
        deadline: Infinity,
        usage: createUsageMeter(),
        conversation: kind === 'workflows' ? undefined : conversationOf(sessions, { kind, name, id: sessionId }),
      })
    } catch (error) {
      pinned.release()
      throw error
    }
  }

  function launch(pinned: Pinned, controller: AbortController, context: RunContext): Run {
    const { subject } = context
    const events = new EventBuffer<RunEvent>()
    const ended = drive(context, events, observer).finally(() => {
      active.delete(subject.runId)
      pinned.release()
      events.end()
    })
    const cancel = (reason: string): void => controller.abort(cancelled(reason))
    active.set(subject.runId, { subject, events, ended, cancel, controller })
    return { subject, events, ended, cancel }
  }

  return {
    start,
    cancel: (runId, reason) => {
      const run = active.get(runId)
      run?.cancel(reason)
      return run !== undefined
    },
    cancelAll: async ({ kind, name }, reason) => {
      const runs = [...active.values()].filter(
        ({ subject }) => (kind ?? subject.kind) === subject.kind && (name ?? subject.name) === subject.name,
      )
      for (const run of runs) run.cancel(reason)
      await Promise.all(runs.map(({ ended }) => ended))
    },
    inFlight: () => active.size,
  }
}

function dispatch(context: RunContext): AsyncGenerator<RunEvent, RunResult> {
  switch (context.subject.kind) {
    case 'agents':
      return runAgent(context)
    case 'teams':
      return runTeam(context)
    case 'workflows':
      return runWorkflow(context)
  }
}

const conversationOf = (sessions: SessionStore, key: SessionKey): Conversation => ({
  history: () => sessions.history(key, HISTORY_MESSAGES),
  append: (messages) => sessions.append(key, messages),
})

/** Pulls a run to its end. Its last event is there even where the run's own code broke. */
async function drive(
  context: RunContext,
  events: EventBuffer<RunEvent>,
  observer: RunObserver | undefined,
): Promise<void> {
  const { clock } = context.env.policy
  const observe = observer === undefined ? undefined : observing(observer, clock)
  const take = (event: RunEvent): void => {
    observe?.(event)
    events.push(event)
  }
  let open = true
  try {
    for await (const event of dispatch(context)) {
      if (event.run === context.subject && endOf(event) !== undefined) open = false
      take(event)
    }
  } catch (error) {
    if (open) take({ run: context.subject, at: clock.now(), type: 'failed', error: problemOf(error, 'ModelFailed') })
  }
}

function endOf({ type }: RunEvent): RunStatus | undefined {
  return type === 'completed' || type === 'failed' || type === 'cancelled' ? type : undefined
}

/** Turns events into what an observer is told of. */
function observing(observer: RunObserver, clock: Clock): (event: RunEvent) => void {
  const startedAt = new Map<string, number>()
  const end = (run: RunSubject, status: RunStatus): void => {
    const now = clock.monotonic()
    observer.ended(run, status, now - (startedAt.get(run.runId) ?? now))
    startedAt.delete(run.runId)
  }
  return (event) => {
    const status = endOf(event)
    if (status !== undefined) end(event.run, status)
    else if (event.type === 'toolCompleted') observer.toolCall(event.run, event.call.tool, 'ok')
    else if (event.type === 'toolFailed') observer.toolCall(event.run, event.call.tool, event.error.reason)
    else if (event.type === 'started') {
      startedAt.set(event.run.runId, clock.monotonic())
      observer.started(event.run)
    }
  }
}

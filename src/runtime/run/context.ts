import { ProblemError, type RunnablePlural } from '../../api/index.ts'
import type { CallPolicy } from '../models/index.ts'
import type { ActiveItem, Snapshot } from '../registry/snapshot.ts'
import type { SessionMessage } from '../storage/index.ts'
import type { RunEvent, RunResult, RunSubject, TokenUsage } from './events.ts'
import type { RunObserver } from './port.ts'
import type { ToolSurroundings } from './tool-context.ts'

/** Deepest nesting of runs: agents as tools, members of teams, steps of workflows. */
export const MAX_DEPTH = 8

/** What all runs under one run share. */
export type RunEnvironment = {
  readonly snapshot: Snapshot
  readonly policy: CallPolicy
  readonly newId: () => string
  readonly observer?: RunObserver | undefined
  readonly surroundings?: ToolSurroundings | undefined
  /** Runs whatever the subject names. Its events include those of the runs under it. */
  readonly dispatch: (context: RunContext) => AsyncGenerator<RunEvent, RunResult>
}

/** The conversation that a run continues. */
export interface Conversation {
  history(): Promise<readonly SessionMessage[]>
  append(messages: readonly SessionMessage[]): Promise<void>
}

/** One run: who it is, what it was asked, and when it has to end. */
export type RunContext = {
  readonly env: RunEnvironment
  readonly subject: RunSubject
  readonly message: string
  /** Aborts with a ProblemError: RunCancelled, or RunTimeout. */
  readonly signal: AbortSignal
  /** When its time is up, on the monotonic clock. */
  readonly deadline: number
  readonly usage: UsageMeter
  /** Only the run that was asked for continues a conversation. */
  readonly conversation?: Conversation | undefined
}

/** Counts the tokens of a run and of the runs under it, also of those that failed. */
export type UsageMeter = { add(usage: TokenUsage): void; total(): TokenUsage }

export function createUsageMeter(parent?: UsageMeter): UsageMeter {
  let inputTokens = 0
  let outputTokens = 0
  return {
    add: (usage) => {
      inputTokens += usage.inputTokens
      outputTokens += usage.outputTokens
      parent?.add(usage)
    },
    total: () => ({ inputTokens, outputTokens }),
  }
}

type RunnableItem = ActiveItem<'Agent'> | ActiveItem<'Team'> | ActiveItem<'Workflow'>

const NOT_FOUND = { agents: 'AgentNotFound', teams: 'TeamNotFound', workflows: 'WorkflowNotFound' } as const

/** @throws ProblemError AgentNotFound, TeamNotFound, WorkflowNotFound */
export function itemOf(snapshot: Snapshot, kind: RunnablePlural, name: string): RunnableItem {
  const item: RunnableItem | undefined = snapshot[kind].get(name)
  if (item !== undefined) return item
  throw new ProblemError({ reason: NOT_FOUND[kind], message: `${kind}/${name} is not served by this runtime` })
}

export type SubjectInput = Pick<RunSubject, 'kind' | 'name' | 'runId' | 'sessionId' | 'depth'> &
  Partial<Pick<RunSubject, 'parentRunId' | 'step'>>

/** @throws ProblemError AgentNotFound, TeamNotFound, WorkflowNotFound */
export function subjectOf(snapshot: Snapshot, input: SubjectInput): RunSubject {
  const { definition, revision, digest } = itemOf(snapshot, input.kind, input.name)
  return { ...input, title: definition.title ?? definition.name, revision, digest }
}

export type ChildRun = {
  readonly kind: RunnablePlural
  readonly name: string
  readonly message: string
  readonly step?: string
  /** Where the child may have to end before its parent. */
  readonly signal?: AbortSignal
}

/**
 * Runs an item within a run: in the same snapshot and session, under the parent's signal and time.
 * @throws ProblemError AgentNotFound, TeamNotFound, WorkflowNotFound; ToolFailed when runs are nested too deep
 */
export function runChild(parent: RunContext, child: ChildRun): AsyncGenerator<RunEvent, RunResult> {
  const { env, subject } = parent
  const depth = subject.depth + 1
  if (depth > MAX_DEPTH) {
    const message = `${child.kind}/${child.name} was not run: runs may be nested at most ${MAX_DEPTH} deep`
    throw new ProblemError({ reason: 'ToolFailed', message })
  }
  const step = child.step === undefined ? {} : { step: child.step }
  return env.dispatch({
    env,
    subject: subjectOf(env.snapshot, {
      kind: child.kind,
      name: child.name,
      runId: env.newId(),
      parentRunId: subject.runId,
      sessionId: subject.sessionId,
      depth,
      ...step,
    }),
    message: child.message,
    signal: child.signal ?? parent.signal,
    deadline: parent.deadline,
    usage: createUsageMeter(parent.usage),
  })
}

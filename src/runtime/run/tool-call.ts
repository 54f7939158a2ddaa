import type { JSONObject, JSONSchema7, JSONValue, LanguageModelV4ToolCall } from '@ai-sdk/provider'
import { type Problem, ProblemError, problemOf } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import { parseArguments } from '../models/index.ts'
import type { ServedTool } from '../registry/snapshot.ts'
import type { ToolCallContext } from '../tools/port.ts'
import { type RunContext, runChild } from './context.ts'
import type { RunEvent, RunResult, ToolCallView } from './events.ts'
import type { Ended, Hooks } from './extensions/hooks.ts'
import { failureIn } from './lifecycle.ts'
import { surroundingsOf, withinLimit } from './tool-context.ts'
import { type EffectiveTool, MESSAGE_PARAMETERS } from './tools.ts'

/** A tool that a loop offers its model: one that is called, or one that is a run of its own. */
export type LoopTool = {
  readonly name: string
  readonly description: string
  readonly parameters: JSONSchema7
} & (
  | { readonly type: 'tool'; readonly call: (context: RunContext, args: JSONObject) => Promise<JSONValue> }
  | {
      readonly type: 'run'
      readonly start: (context: RunContext, message: string) => AsyncGenerator<RunEvent, RunResult>
    }
)

/** What became of one call that the model made. */
export type ToolOutcome = { readonly call: ToolCallView } & Ended

/** An effective tool as a loop offers it. */
export function loopTool({ target, ...tool }: EffectiveTool): LoopTool {
  const { name, description, parameters } = tool
  if (target.type === 'agent') return childTool({ kind: 'agents', name: target.name, tool: name, description })
  return {
    type: 'tool',
    name,
    description,
    parameters,
    call: (context, args) => callServed(context, target.served, args),
  }
}

/** Another agent or a team as a tool that takes a message. Its own time limits hold, not that of tools. */
export function childTool(child: {
  kind: 'agents' | 'teams'
  name: string
  tool: string
  description: string
}): LoopTool {
  const { kind, name, tool, description } = child
  const start = (context: RunContext, message: string) => runChild(context, { kind, name, message })
  return { type: 'run', name: tool, description, parameters: MESSAGE_PARAMETERS, start }
}

/** Calls a tool of a bundle for a run: see {@link callWithin}. */
export function callServed(context: RunContext, served: ServedTool, args: JSONObject): Promise<JSONValue> {
  const { env, subject, signal } = context
  const run = { id: subject.runId, agent: subject.name }
  const { bundle, name, file } = served.description
  return callWithin(served, args, {
    ended: (problem) => env.observer?.called(served.bundle, file, problem),
    timeoutSeconds: env.snapshot.settings.definition.spec.tools.timeoutSeconds,
    clock: env.policy.clock,
    context: {
      signal,
      session: { id: subject.sessionId },
      run,
      ...surroundingsOf(env.surroundings, env.snapshot, { bundle, tool: name, run: run.id }),
    },
  })
}

export type CallLimits = {
  readonly timeoutSeconds: number
  readonly clock: Clock
  readonly context: ToolCallContext
  /** Told how the call ended, unless its context's signal was aborted meanwhile. Never throws. */
  readonly ended?: (problem?: Problem) => void
}

/**
 * Calls a tool of a bundle within a time limit.
 * @throws ProblemError ToolTimeout, or what the tool set throws; the signal's reason when that is aborted
 */
export function callWithin(
  served: ServedTool,
  args: JSONObject,
  { timeoutSeconds, clock, context, ended }: CallLimits,
): Promise<JSONValue> {
  const { name } = served.description
  const message = `tool "${name}" took longer than its limit of ${timeoutSeconds} s`
  const timedOut = () => new ProblemError({ reason: 'ToolTimeout', message })
  const limit = { timeoutSeconds, clock, timedOut }
  const call = withinLimit(context, limit, (inner) => served.bundle.tools.call(name, args, inner))
  call.then(
    () => ended?.(),
    (error: unknown) => {
      if (!context.signal.aborted) ended?.(problemOf(error, 'ToolFailed'))
    },
  )
  return call
}

/** What a call of the model's can reach. */
export type Callable = {
  readonly tools: ReadonlyMap<string, LoopTool>
  readonly hooks: Hooks
}

/**
 * Makes one call of a model's: `toolStarted`, the events of a run where the tool is one, then `toolCompleted` or
 * `toolFailed`. A failure, a refusal by an extension, an unknown tool and arguments that are no object are outcomes for
 * the model to read.
 * @throws the run's reason when that is aborted
 */
export async function* makeCall(
  context: RunContext,
  { tools, hooks }: Callable,
  asked: LanguageModelV4ToolCall,
): AsyncGenerator<RunEvent, ToolOutcome> {
  const { subject: run, env } = context
  const { clock } = env.policy
  const parsed = parseArguments(asked.input)
  const { call, refusal } = await admitted(context, hooks, {
    id: asked.toolCallId,
    tool: asked.toolName,
    arguments: parsed ?? {},
  })
  const begun = clock.monotonic()
  yield { run, at: clock.now(), type: 'toolStarted', call }
  let outcome: Ended
  try {
    if (refusal !== undefined) throw refusal
    const tool = tools.get(asked.toolName)
    if (tool === undefined) throw unknownTool(asked.toolName, tools)
    if (parsed === undefined) throw badArguments(`arguments of "${tool.name}" must be a JSON object`)
    const result =
      tool.type === 'tool'
        ? await tool.call(context, call.arguments)
        : (yield* tool.start(context, messageIn(call.arguments, tool.name))).content
    outcome = { type: 'returned', result }
  } catch (thrown) {
    outcome = { type: 'failed', error: failureIn(context, thrown, 'ToolFailed') }
  }
  outcome = await hooks.afterTool(call, outcome)
  const ended = { run, at: clock.now(), durationMs: clock.monotonic() - begun, call }
  if (outcome.type === 'returned') yield { ...ended, type: 'toolCompleted', result: outcome.result }
  else yield { ...ended, type: 'toolFailed', error: outcome.error }
  return { call, ...outcome }
}

/** The call as extensions let it go ahead, or why one of them refuses it. */
async function admitted(
  context: RunContext,
  hooks: Hooks,
  call: ToolCallView,
): Promise<{ readonly call: ToolCallView; readonly refusal?: unknown }> {
  try {
    return { call: { ...call, arguments: await hooks.beforeTool(call) } }
  } catch (refusal) {
    if (context.signal.aborted) throw context.signal.reason
    return { call, refusal }
  }
}

function messageIn({ message }: JSONObject, tool: string): string {
  if (typeof message === 'string') return message
  throw badArguments(`arguments of "${tool}" must have a text "message"`)
}

const badArguments = (message: string): ProblemError => new ProblemError({ reason: 'InvalidArguments', message })

function unknownTool(name: string, tools: ReadonlyMap<string, LoopTool>): ProblemError {
  const known = tools.size === 0 ? 'there are none' : `there are ${[...tools.keys()].join(', ')}`
  return new ProblemError({ reason: 'ToolNotFound', message: `there is no tool "${name}"; ${known}` })
}

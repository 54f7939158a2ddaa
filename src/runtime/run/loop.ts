import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FunctionTool,
  LanguageModelV4Prompt,
  LanguageModelV4ToolCall,
  LanguageModelV4ToolResultPart,
} from '@ai-sdk/provider'
import { type AgentSpec, ProblemError, problemOf } from '../../api/index.ts'
import { linkedTo } from '../../clock.ts'
import { type CallParameters, callModel, type ModelCall, type ModelTurn } from '../models/index.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import type { SessionMessage } from '../storage/index.ts'
import type { RunContext } from './context.ts'
import type { RunEvent } from './events.ts'
import { type Hooks, hooksOf, NO_HOOKS } from './extensions/hooks.ts'
import { type Answer, cancelled } from './lifecycle.ts'
import { fillVariables, firstLine } from './prompt.ts'
import { merge } from './stream/merge.ts'
import { type Callable, type LoopTool, makeCall, type ToolOutcome } from './tool-call.ts'

/** Most tool calls of one turn that run at once. */
const PARALLEL_CALLS = 16

/** Messages of a conversation that a run starts from. */
export const HISTORY_MESSAGES = 40

export type Loop = {
  readonly context: RunContext
  readonly model: LoadedModel
  readonly parameters: CallParameters
  readonly system: string
  /** What the agent or leader is told to do; the scripted model quotes it. */
  readonly instructions: string
  readonly tools: readonly LoopTool[]
  readonly toolChoice: AgentSpec['toolChoice']
  /** Most model calls. The tool calls of the last one are not made, as no call could read their results. */
  readonly maxSteps: number
  /** Ends the loop after a turn's tool calls, when they are the answer. */
  readonly answerIn?: (outcomes: readonly ToolOutcome[]) => string | undefined
}

/**
 * Model call, tool calls, model call … until the model answers without calling. The tool calls of one turn run in
 * parallel and their results go back in the order of the calls. Extensions have their say in between.
 * @throws ProblemError ModelFailed, MaxStepsExceeded, RefusedByExtension; the run's reason when that is aborted
 */
export function runLoop(loop: Loop): AsyncGenerator<RunEvent, Answer> {
  const hooks = hooksOf(loop.context)
  const filled = withVariables(loop)
  return hooks === undefined ? turns(filled, NO_HOOKS) : extendedTurns(filled, hooks)
}

function withVariables(loop: Loop): Loop {
  const { subject, env } = loop.context
  const fill = (text: string): string => fillVariables(text, subject, env.policy.clock.now())
  return { ...loop, system: fill(loop.system), instructions: fill(loop.instructions) }
}

/** The turns between an extension's first word and its last. */
async function* extendedTurns(loop: Loop, hooks: Hooks): AsyncGenerator<RunEvent, Answer> {
  const { context } = loop
  try {
    const message = await hooks.runStart(context.message)
    const answer = yield* turns({ ...loop, context: { ...context, message } }, hooks)
    return { ...answer, message }
  } catch (error) {
    const problem = problemOf(context.signal.aborted ? context.signal.reason : error, 'ModelFailed')
    await hooks.runFailed(problem.reason === 'RunCancelled' ? 'cancelled' : 'failed', problem)
    throw error
  }
}

async function* turns(loop: Loop, hooks: Hooks): AsyncGenerator<RunEvent, Answer> {
  const { context, model, maxSteps, answerIn } = loop
  const prompt = openingPrompt(loop.system, (await context.conversation?.history()) ?? [], context.message)
  const callable = { tools: new Map(loop.tools.map((tool) => [tool.name, tool])), hooks }
  const functions = loop.tools.map(functionOf)
  for (let step = 1; step <= maxSteps; step++) {
    const options = callOptions(loop, await hooks.beforeModel(step, prompt), functions, step === 1)
    const said = yield* hooks.holdsContent ? withheld(loop, options) : spoken(loop, options)
    context.usage.add(said.turn.usage)
    context.env.observer?.tokens(context.subject, model.spec.name, said.turn.usage)
    const turn = await hooks.afterModel(step, said.turn)
    if (turn.toolCalls.length === 0) {
      const content = await hooks.runEnd(turn.text)
      yield* released(loop, said, content)
      return { content, steps: step }
    }
    yield* released(loop, said, turn.text)
    if (step === maxSteps && answerIn === undefined) break
    const outcomes = yield* makeCalls(context, callable, turn.toolCalls)
    const answer = answerIn?.(outcomes)
    if (answer !== undefined) return { content: await hooks.runEnd(answer), steps: step }
    prompt.push({ role: 'assistant', content: turn.content }, { role: 'tool', content: outcomes.map(resultPart) })
  }
  const message = `no answer within maxSteps: ${maxSteps} model calls, and the last one called tools again`
  throw new ProblemError({ reason: 'MaxStepsExceeded', message })
}

/** A turn. Where extensions may still change its text, that is there as events which nobody has been told yet. */
type Said = { readonly turn: ModelTurn; readonly untold?: readonly RunEvent[] }

async function* spoken(loop: Loop, options: LanguageModelV4CallOptions): AsyncGenerator<RunEvent, Said> {
  return { turn: yield* callModel(modelCall(loop, options)) }
}

/** Holds the text back that extensions may still change. */
async function* withheld(loop: Loop, options: LanguageModelV4CallOptions): AsyncGenerator<RunEvent, Said> {
  const untold: RunEvent[] = []
  const source = callModel(modelCall(loop, options))
  try {
    for (;;) {
      const { done, value } = await source.next()
      if (done === true) return { turn: value, untold }
      if (value.type === 'content') untold.push(value)
      else yield value
    }
  } finally {
    await source.return(undefined as never)
  }
}

/** Tells what was held back, or what became of it. */
function* released({ context }: Loop, { untold }: Said, text: string): Generator<RunEvent> {
  if (untold === undefined) return
  const original = untold.map((event) => (event.type === 'content' ? event.delta : '')).join('')
  const { subject: run, env } = context
  if (original === text) yield* untold
  else if (text !== '') yield { run, at: env.policy.clock.now(), type: 'content', delta: text }
}

/** The prompt of a run's first model call. */
export function openingPrompt(
  system: string,
  history: readonly SessionMessage[],
  message: string,
): LanguageModelV4Prompt {
  const said = [...history, { role: 'user' as const, text: message }]
  return [
    ...(system === '' ? [] : [{ role: 'system' as const, content: system }]),
    ...said.map(({ role, text }) => ({ role, content: [{ type: 'text' as const, text }] })),
  ]
}

function functionOf({ name, description, parameters }: LoopTool): LanguageModelV4FunctionTool {
  return { type: 'function', name, description, inputSchema: parameters }
}

/** `required` holds until the first tool call of the run: from the second step on there has been one. */
function callOptions(
  loop: Loop,
  prompt: LanguageModelV4Prompt,
  functions: LanguageModelV4FunctionTool[],
  first: boolean,
): LanguageModelV4CallOptions {
  const { parameters, toolChoice, model, context, instructions } = loop
  const type = toolChoice === 'required' && !first ? 'auto' : toolChoice
  const told = { agent: context.subject.name, instructions: firstLine(instructions) }
  return {
    ...parameters,
    prompt,
    ...(functions.length === 0 ? {} : { tools: functions, toolChoice: { type } }),
    ...(model.spec.provider === 'scripted' ? { providerOptions: { midflight: told } } : {}),
  }
}

function modelCall(loop: Loop, options: LanguageModelV4CallOptions): ModelCall<RunEvent> {
  const { env, subject: run, signal, deadline } = loop.context
  const { policy } = env
  const { clock } = policy
  return {
    model: loop.model,
    options,
    signal,
    deadline,
    policy,
    eventOf: ({ type, delta }) => ({ run, at: clock.now(), type: EVENT_OF[type], delta }),
  }
}

const EVENT_OF = { 'text-delta': 'content', 'reasoning-delta': 'reasoning' } as const

async function* makeCalls(
  context: RunContext,
  callable: Callable,
  calls: readonly LanguageModelV4ToolCall[],
): AsyncGenerator<RunEvent, readonly ToolOutcome[]> {
  const [only, ...others] = calls
  if (only !== undefined && others.length === 0) return [yield* makeCall(context, callable, only)]
  const link = linkedTo(context.signal)
  const sources = calls.map((call) => makeCall({ ...context, signal: link.signal }, callable, call))
  try {
    return yield* merge(sources, { limit: PARALLEL_CALLS, stop: () => link.abort(cancelled('the run is over')) })
  } finally {
    link.release()
  }
}

function resultPart(outcome: ToolOutcome): LanguageModelV4ToolResultPart {
  const { id: toolCallId, tool: toolName } = outcome.call
  const part = { type: 'tool-result' as const, toolCallId, toolName }
  if (outcome.type === 'failed') return { ...part, output: { type: 'error-text', value: outcome.error.message } }
  const { result } = outcome
  return {
    ...part,
    output: typeof result === 'string' ? { type: 'text', value: result } : { type: 'json', value: result },
  }
}

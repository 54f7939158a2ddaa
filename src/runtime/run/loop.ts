import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FunctionTool,
  LanguageModelV4Prompt,
  LanguageModelV4ToolCall,
  LanguageModelV4ToolResultPart,
} from '@ai-sdk/provider'
import { type AgentSpec, ProblemError } from '../../api/index.ts'
import { linkedTo } from '../../clock.ts'
import { type CallParameters, callModel, type ModelCall } from '../models/index.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import type { SessionMessage } from '../storage/index.ts'
import type { RunContext } from './context.ts'
import type { RunEvent } from './events.ts'
import { type Answer, cancelled } from './lifecycle.ts'
import { firstLine } from './prompt.ts'
import { merge } from './stream/merge.ts'
import { type LoopTool, makeCall, type ToolOutcome } from './tool-call.ts'

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
 * parallel and their results go back in the order of the calls.
 * @throws ProblemError ModelFailed, MaxStepsExceeded; the run's reason when that is aborted
 */
export async function* runLoop(loop: Loop): AsyncGenerator<RunEvent, Answer> {
  const { context, model, maxSteps, answerIn } = loop
  const prompt = openingPrompt(loop.system, (await context.conversation?.history()) ?? [], context.message)
  const tools = new Map(loop.tools.map((tool) => [tool.name, tool]))
  const functions = loop.tools.map(functionOf)
  for (let step = 1; step <= maxSteps; step++) {
    const turn = yield* callModel(modelCall(loop, callOptions(loop, prompt, functions, step === 1)))
    context.usage.add(turn.usage)
    context.env.observer?.tokens(context.subject, model.spec.name, turn.usage)
    if (turn.toolCalls.length === 0) return { content: turn.text, steps: step }
    if (step === maxSteps && answerIn === undefined) break
    const outcomes = yield* makeCalls(context, tools, turn.toolCalls)
    const answer = answerIn?.(outcomes)
    if (answer !== undefined) return { content: answer, steps: step }
    prompt.push({ role: 'assistant', content: turn.content }, { role: 'tool', content: outcomes.map(resultPart) })
  }
  const message = `no answer within maxSteps: ${maxSteps} model calls, and the last one called tools again`
  throw new ProblemError({ reason: 'MaxStepsExceeded', message })
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
  tools: ReadonlyMap<string, LoopTool>,
  calls: readonly LanguageModelV4ToolCall[],
): AsyncGenerator<RunEvent, readonly ToolOutcome[]> {
  const [only, ...others] = calls
  if (only !== undefined && others.length === 0) return [yield* makeCall(context, tools, only)]
  const link = linkedTo(context.signal)
  const sources = calls.map((call) => makeCall({ ...context, signal: link.signal }, tools, call))
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

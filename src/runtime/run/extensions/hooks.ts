import type { JSONObject, JSONValue, LanguageModelV4Prompt } from '@ai-sdk/provider'
import { type ExtensionPoint, type Problem, ProblemError, problemOf } from '../../../api/index.ts'
import { type ModelTurn, parseArguments } from '../../models/index.ts'
import type { ServedExtension } from '../../registry/snapshot.ts'
import type { RunContext } from '../context.ts'
import type { ToolCallView } from '../events.ts'
import { surroundingsOf, withinLimit, withoutSecrets } from '../tool-context.ts'
import { type Change, changeAt, promptMessages } from './change.ts'

/** How a call of a tool ended, as extensions see and may change it. */
export type Ended =
  | { readonly type: 'returned'; readonly result: JSONValue }
  | { readonly type: 'failed'; readonly error: Problem }

/**
 * The extensions of the snapshot that a run is pinned to, as the run asks them: in order, each sees what those before it
 * have made. One that fails, is too slow or returns nonsense costs its change and no more.
 */
export type Hooks = {
  /** Whether what the model says may still be changed before it is told. */
  readonly holdsContent: boolean
  /** @throws ProblemError RefusedByExtension; as all others, the run's reason when that is aborted */
  runStart(message: string): string | Promise<string>
  beforeModel(step: number, prompt: LanguageModelV4Prompt): LanguageModelV4Prompt | Promise<LanguageModelV4Prompt>
  afterModel(step: number, turn: ModelTurn): ModelTurn | Promise<ModelTurn>
  /** @throws ProblemError RefusedByExtension */
  beforeTool(call: ToolCallView): JSONObject | Promise<JSONObject>
  afterTool(call: ToolCallView, ended: Ended): Ended | Promise<Ended>
  runEnd(content: string): string | Promise<string>
  /** The run did not complete. Nothing can be changed any more, and it is waited for at most 5 s. */
  runFailed(status: 'failed' | 'cancelled', error: Problem): Promise<void>
}

/** Where there are no extensions: nothing changes, and nothing is waited for. */
export const NO_HOOKS: Hooks = {
  holdsContent: false,
  runStart: (message) => message,
  beforeModel: (_, prompt) => prompt,
  afterModel: (_, turn) => turn,
  beforeTool: ({ arguments: args }) => args,
  afterTool: (_, ended) => ended,
  runEnd: (content) => content,
  runFailed: async () => undefined,
}

/** Longest time that a run which is over waits for its extensions, in seconds. */
const LAST_WORD_SECONDS = 5

/** Undefined where the run's snapshot has no extensions: then the run goes as if there were none at all. */
export function hooksOf(context: RunContext): Hooks | undefined {
  const { extensions } = context.env.snapshot
  return extensions.size === 0 ? undefined : createHooks(context)
}

function createHooks(context: RunContext): Hooks {
  const { extensions } = context.env.snapshot
  const fold = async <P extends ExtensionPoint, S>(point: P, start: S, { show, apply }: Fold<P, S>): Promise<S> => {
    let state = start
    for (const served of extensions.get(point) ?? []) {
      const change = await ask(context, served, { point, event: { point, ...show(state) } })
      if (change === undefined) continue
      try {
        state = apply(state, change)
      } catch (refusal) {
        const { env } = context
        throw withoutSecrets(refusal, surroundingsOf(env.surroundings, env.snapshot, { bundle: served.bundle.name }))
      }
    }
    return state
  }
  return {
    holdsContent: extensions.has('after_model') || extensions.has('run_end'),
    runStart: (asked) =>
      fold('run_start', asked, {
        show: (message) => ({ message }),
        apply: (_, change) => ('refuse' in change ? refused('the run', change.refuse) : change.message),
      }),
    beforeModel: (step, prompt) =>
      fold('before_model', prompt, { show: (now) => ({ step, ...shownPrompt(now) }), apply: changedPrompt }),
    afterModel: (step, turn) =>
      fold('after_model', turn, {
        show: (now) => ({ step, ...shownTurn(now) }),
        apply: (now, { text }) => saying(now, text),
      }),
    beforeTool: ({ arguments: asked, ...call }) =>
      fold('before_tool', asked, {
        show: (args) => ({ call, arguments: args }),
        apply: (_, change) =>
          'refuse' in change ? refused(`the call of ${call.tool}`, change.refuse) : (change.arguments as JSONObject),
      }),
    afterTool: ({ arguments: args, ...call }, ended) =>
      fold('after_tool', ended, {
        show: (now) => ({ call, arguments: args, ...shownEnd(now) }),
        apply: (_, { result }): Ended => ({ type: 'returned', result }),
      }),
    runEnd: (answer) =>
      fold('run_end', answer, {
        show: (content) => ({ status: 'completed', content }),
        apply: (_, { content }) => content,
      }),
    runFailed: async (status, { reason, message }) => {
      // The run's own signal may be what ended it.
      const last = { ...context, signal: new AbortController().signal }
      const event = { point: 'run_end', status, error: { reason, message } }
      const asked = extensions.get('run_end') ?? []
      await Promise.all(
        asked.map((served) => ask(last, served, { point: 'run_end', event, seconds: LAST_WORD_SECONDS })),
      )
    },
  }
}

type Fold<P extends ExtensionPoint, S> = {
  readonly show: (state: S) => JSONObject
  readonly apply: (state: S, change: Change<P>) => S
}

type Asked<P extends ExtensionPoint> = { readonly point: P; readonly event: JSONObject; readonly seconds?: number }

/** @throws the run's reason when that is aborted */
async function ask<P extends ExtensionPoint>(
  { env, subject, signal }: RunContext,
  { description, bundle }: ServedExtension,
  { point, event, seconds = Infinity }: Asked<P>,
): Promise<Change<P> | undefined> {
  const { file } = description
  const { timeoutSeconds: limit } = env.snapshot.settings.definition.spec.tools
  const timeoutSeconds = Math.min(limit, seconds)
  const timedOut = () => failed(file, `${file} took longer than its limit of ${timeoutSeconds} s`)
  const origin = { bundle: bundle.name, extension: file, run: subject.runId }
  const context = {
    signal,
    session: { id: subject.sessionId },
    run: { id: subject.runId, agent: subject.name },
    ...surroundingsOf(env.surroundings, env.snapshot, origin),
  }
  try {
    const limits = { timeoutSeconds, clock: env.policy.clock, timedOut }
    const answer = await withinLimit(context, limits, (inner) => bundle.tools.extend(file, event, inner))
    const change = changeAt(point, file, answer)
    env.observer?.extension(subject, description, 'ok')
    env.observer?.called(bundle, file)
    return change
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const problem = problemOf(withoutSecrets(error, context), 'ExtensionFailed')
    env.observer?.extension(subject, description, problem)
    env.observer?.called(bundle, file, problem)
    env.surroundings?.log.warn('an extension failed, the run goes on without its change', { ...origin, problem })
    return undefined
  }
}

const failed = (file: string, message: string): ProblemError =>
  new ProblemError({ reason: 'ExtensionFailed', message, file })

function refused(what: string, why: string): never {
  throw new ProblemError({ reason: 'RefusedByExtension', message: `${what} was refused: ${why}` })
}

function shownPrompt(prompt: LanguageModelV4Prompt): JSONObject {
  const system = prompt.flatMap((message) => (message.role === 'system' ? [message.content] : []))
  const messages = prompt.filter(({ role }) => role !== 'system')
  // Files and their binary data never stand in the prompts of a run.
  return { system: system.join('\n\n'), messages: messages as unknown as JSONValue }
}

function changedPrompt(prompt: LanguageModelV4Prompt, change: Change<'before_model'>): LanguageModelV4Prompt {
  const { system } = change
  const isSystem = ({ role }: LanguageModelV4Prompt[number]) => role === 'system'
  const told = system === undefined || system === '' ? [] : [{ role: 'system' as const, content: system }]
  return [
    ...(system === undefined ? prompt.filter(isSystem) : told),
    ...(change.messages === undefined ? prompt.filter((each) => !isSystem(each)) : promptMessages(change.messages)),
  ]
}

const shownTurn = ({ text, toolCalls }: ModelTurn): JSONObject => ({
  text,
  calls: toolCalls.map(({ toolCallId, toolName, input }) => ({
    id: toolCallId,
    tool: toolName,
    arguments: parseArguments(input) ?? {},
  })),
})

/** The turn with another text. What the provider signed of the old text goes with it. */
function saying(turn: ModelTurn, text: string): ModelTurn {
  const others = turn.content.filter(({ type }) => type !== 'text')
  const firstCall = others.findIndex(({ type }) => type === 'tool-call')
  const at = firstCall === -1 ? others.length : firstCall
  const said = text === '' ? [] : [{ type: 'text' as const, text }]
  return { ...turn, text, content: others.toSpliced(at, 0, ...said) }
}

function shownEnd(ended: Ended): JSONObject {
  switch (ended.type) {
    case 'returned':
      return { result: ended.result }
    case 'failed':
      return { error: { reason: ended.error.reason, message: ended.error.message } }
  }
}

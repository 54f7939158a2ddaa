import type { JSONValue, LanguageModelV4Message } from '@ai-sdk/provider'
import { z } from 'zod'
import { type ExtensionPoint, formatPath, ProblemError } from '../../../api/index.ts'

const providerOptions = z.record(z.string(), z.record(z.string(), z.json())).optional()
const textPart = z.strictObject({ type: z.literal('text'), text: z.string(), providerOptions })
const reasoningPart = z.strictObject({ type: z.literal('reasoning'), text: z.string(), providerOptions })
const callPart = z.strictObject({
  type: z.literal('tool-call'),
  toolCallId: z.string(),
  toolName: z.string(),
  input: z.json(),
  providerOptions,
})
const output = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), value: z.string() }),
  z.strictObject({ type: z.literal('json'), value: z.json() }),
  z.strictObject({ type: z.literal('error-text'), value: z.string() }),
])
const resultPart = z.strictObject({
  type: z.literal('tool-result'),
  toolCallId: z.string(),
  toolName: z.string(),
  output,
  providerOptions,
})
const assistantPart = z.discriminatedUnion('type', [textPart, reasoningPart, callPart])
const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('user'), content: z.array(textPart) }),
  z.strictObject({ role: z.literal('assistant'), content: z.array(assistantPart) }),
  z.strictObject({ role: z.literal('tool'), content: z.array(resultPart) }),
])

/** A conversation as an extension may give it: no call without its result, and no result without its call. */
const messages = z
  .array(message)
  .min(1)
  .refine(isPaired, { message: 'has a tool-call without its tool-result right after it, or the other way round' })

type PlainMessage = z.output<typeof message>

/** The results of an assistant's calls stand in the next message, as providers demand. */
function isPaired(list: readonly PlainMessage[]): boolean {
  return list.every((each, index) => {
    if (each.role === 'user') return true
    const [calls, results] = each.role === 'assistant' ? [each, list[index + 1]] : [list[index - 1], each]
    const resultIds = results?.role === 'tool' ? results.content.map(({ toolCallId }) => toolCallId) : []
    return callIds(calls).join('\n') === resultIds.join('\n')
  })
}

const callIds = (each: PlainMessage | undefined): string[] =>
  each?.role === 'assistant' ? each.content.flatMap((part) => (part.type === 'tool-call' ? [part.toolCallId] : [])) : []

const refusal = z.strictObject({ refuse: z.string().min(1).max(2_000) })
const anyObject = z.record(z.string(), z.json())

/** What an extension may return at each point, besides nothing. */
const CHANGES = {
  run_start: z.union([z.strictObject({ message: z.string() }), refusal]),
  before_model: z.strictObject({ system: z.string().optional(), messages: messages.optional() }),
  after_model: z.strictObject({ text: z.string() }),
  before_tool: z.union([z.strictObject({ arguments: anyObject }), refusal]),
  after_tool: z.strictObject({ result: z.json() }),
  run_end: z.strictObject({ content: z.string() }),
} as const satisfies Record<ExtensionPoint, z.ZodType>

const SHAPES: Readonly<Record<ExtensionPoint, string>> = {
  run_start: '{ message } or { refuse }',
  before_model: '{ system } or { messages } or both',
  after_model: '{ text }',
  before_tool: '{ arguments } or { refuse }',
  after_tool: '{ result }',
  run_end: '{ content }',
}

export type Change<P extends ExtensionPoint> = z.output<(typeof CHANGES)[P]>

/**
 * The change that an extension asks for; undefined when it asks for none.
 * @throws ProblemError ExtensionFailed when it returned something else
 */
export function changeAt<P extends ExtensionPoint>(point: P, file: string, value: JSONValue): Change<P> | undefined {
  if (value === null) return undefined
  const parsed = CHANGES[point].safeParse(value)
  if (parsed.success) return parsed.data as Change<P>
  const issue = parsed.error.issues[0]
  const where = issue === undefined || issue.path.length === 0 ? '' : `${formatPath(issue.path)}: `
  const why = issue === undefined || issue.code === 'invalid_union' ? '' : ` (${where}${issue.message})`
  const text = `${file}: an extension of ${point} must return nothing, or ${SHAPES[point]}${why}`
  throw new ProblemError({ reason: 'ExtensionFailed', message: text, file })
}

/** Messages of a change as a prompt has them. They have been checked: the shapes are the provider's own. */
export const promptMessages = (list: NonNullable<Change<'before_model'>['messages']>): LanguageModelV4Message[] =>
  list as LanguageModelV4Message[]

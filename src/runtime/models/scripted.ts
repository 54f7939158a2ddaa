import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4Content,
  LanguageModelV4Prompt,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolResultOutput,
  LanguageModelV4Usage,
} from '@ai-sdk/provider'
import type { ScriptEntry } from '../../api/index.ts'
import { answerOf, compileScript, type Script, type ScriptAnswer } from './script.ts'

/**
 * A model that answers from a script: deterministic, without a network. The first entry that matches the last user
 * message answers; one with a call makes it once and answers on its result. Tokens are words. The run's agent and
 * instructions come in `providerOptions.midflight`.
 * @throws ProblemError InvalidSpec when a `match` is no regular expression
 */
export function scriptedModel(name: string, entries: readonly ScriptEntry[]): LanguageModelV4 {
  const script = compileScript(entries)
  return {
    specificationVersion: 'v4',
    provider: 'scripted',
    modelId: name,
    supportedUrls: {},
    doGenerate: async (options) => {
      const { answer, usage } = answerTo(script, options)
      const reason = answer.type === 'call' ? 'tool-calls' : 'stop'
      return { content: [contentOf(answer)], finishReason: { unified: reason, raw: reason }, usage, warnings: [] }
    },
    doStream: async (options) => {
      const { answer, usage } = answerTo(script, options)
      return { stream: streamOf(partsOf(answer, usage)) }
    },
  }
}

function answerTo(script: Script, options: LanguageModelV4CallOptions) {
  options.abortSignal?.throwIfAborted()
  const { message, result } = lastExchange(options.prompt)
  const { agent, instructions } = options.providerOptions?.midflight ?? {}
  const variables = { agent: textOf(agent), instructions: textOf(instructions), message, result: result ?? '' }
  const answer = answerOf(script, variables, result === undefined && options.toolChoice?.type !== 'none')
  return { answer, usage: usageOf(options.prompt, answer) }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** The last user message, and the result of the tool call that followed it, if any did. */
function lastExchange(prompt: LanguageModelV4Prompt): { message: string; result: string | undefined } {
  const index = prompt.findLastIndex(({ role }) => role === 'user')
  const last = prompt[index]
  const message = last?.role === 'user' ? last.content.map((part) => ('text' in part ? part.text : '')).join('') : ''
  const results = prompt.slice(index + 1).flatMap((entry) => (entry.role === 'tool' ? entry.content : []))
  const result = results.find((part) => part.type === 'tool-result')
  return { message, result: result === undefined ? undefined : resultText(result.output) }
}

function resultText(output: LanguageModelV4ToolResultOutput): string {
  if (output.type === 'execution-denied') return output.reason ?? ''
  return typeof output.value === 'string' ? output.value : JSON.stringify(output.value)
}

const countWords = (text: string): number => text.match(/\S+/g)?.length ?? 0

function usageOf(prompt: LanguageModelV4Prompt, answer: ScriptAnswer): LanguageModelV4Usage {
  const input = prompt.reduce((sum, { content }) => sum + countWords(promptText(content)), 0)
  const output = countWords(answer.type === 'text' ? answer.text : JSON.stringify(answer.arguments))
  return {
    inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: output, text: output, reasoning: 0 },
  }
}

function promptText(content: LanguageModelV4Prompt[number]['content']): string {
  if (typeof content === 'string') return content
  return content
    .map((part) => ('text' in part ? part.text : part.type === 'tool-result' ? resultText(part.output) : ''))
    .join(' ')
}

const CALL_ID = 'call-1'

function contentOf(answer: ScriptAnswer): LanguageModelV4Content {
  if (answer.type === 'text') return { type: 'text', text: answer.text }
  return { type: 'tool-call', toolCallId: CALL_ID, toolName: answer.tool, input: JSON.stringify(answer.arguments) }
}

function partsOf(answer: ScriptAnswer, usage: LanguageModelV4Usage): LanguageModelV4StreamPart[] {
  const reason = answer.type === 'call' ? 'tool-calls' : 'stop'
  return [
    { type: 'stream-start', warnings: [] },
    ...(answer.type === 'text' ? textParts(answer.text) : callParts(answer)),
    { type: 'finish', usage, finishReason: { unified: reason, raw: reason } },
  ]
}

/** One delta a word, the white space behind it included. */
function textParts(text: string): LanguageModelV4StreamPart[] {
  const words = text.match(/\s*\S+\s*|\s+/g) ?? []
  return [
    { type: 'text-start', id: '0' },
    ...words.map((delta) => ({ type: 'text-delta' as const, id: '0', delta })),
    { type: 'text-end', id: '0' },
  ]
}

function callParts(answer: Extract<ScriptAnswer, { type: 'call' }>): LanguageModelV4StreamPart[] {
  const input = JSON.stringify(answer.arguments)
  return [
    { type: 'tool-input-start', id: CALL_ID, toolName: answer.tool },
    { type: 'tool-input-delta', id: CALL_ID, delta: input },
    { type: 'tool-input-end', id: CALL_ID },
    { type: 'tool-call', toolCallId: CALL_ID, toolName: answer.tool, input },
  ]
}

const streamOf = (parts: readonly LanguageModelV4StreamPart[]): ReadableStream<LanguageModelV4StreamPart> =>
  new ReadableStream({
    start: (controller) => {
      for (const part of parts) controller.enqueue(part)
      controller.close()
    },
  })

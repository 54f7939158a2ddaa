import type { LanguageModelV4CallOptions, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import type { LoadedModel } from '../registry/snapshot.ts'

export type TestCall = { readonly tool: string; readonly arguments?: unknown }

/** What a test model does with one call: says something, calls tools, or is silent until its signal aborts. */
export type TestTurn =
  | string
  | { readonly calls: readonly TestCall[]; readonly text?: string }
  | { readonly silent: true; readonly text?: string }
  | { readonly reasoning: string; readonly text: string }

export type TestModel = LoadedModel & { readonly asked: readonly LanguageModelV4CallOptions[] }

/** A model whose turns a function decides; it keeps what it was asked. Each call counts 10 tokens in and 5 out. */
export function testModel(
  decide: (options: LanguageModelV4CallOptions, turn: number) => TestTurn,
  provider: 'openai' | 'scripted' = 'openai',
): TestModel {
  const asked: LanguageModelV4CallOptions[] = []
  return {
    asked,
    spec: { name: 'default', provider, model: 'test', parameters: {} },
    client: {
      specificationVersion: 'v4',
      provider: 'test',
      modelId: 'test',
      supportedUrls: {},
      doGenerate: () => Promise.reject(new Error('only streams')),
      doStream: async (options) => {
        const turn = decide(options, asked.length)
        asked.push({ ...options, prompt: [...options.prompt] })
        return { stream: streamOf(turn) }
      },
    },
  }
}

/** A model that takes these turns one after the other. */
export const turns = (...list: readonly TestTurn[]): TestModel => testModel((_, turn) => list[turn] ?? 'no more turns')

function streamOf(turn: TestTurn): ReadableStream<LanguageModelV4StreamPart> {
  const isSilent = typeof turn === 'object' && 'silent' in turn
  return new ReadableStream({
    start: (controller) => {
      for (const part of partsOf(turn)) controller.enqueue(part)
      if (!isSilent) controller.close()
    },
  })
}

function partsOf(turn: TestTurn): LanguageModelV4StreamPart[] {
  if (typeof turn === 'string') return [...textParts(turn), finish('stop')]
  if ('silent' in turn) return textParts(turn.text)
  if ('reasoning' in turn) {
    return [{ type: 'reasoning-delta', id: 'r', delta: turn.reasoning }, ...textParts(turn.text), finish('stop')]
  }
  const calls = turn.calls.map(({ tool, arguments: args = {} }, index) => ({
    type: 'tool-call' as const,
    toolCallId: `call-${index + 1}`,
    toolName: tool,
    input: typeof args === 'string' ? args : JSON.stringify(args),
  }))
  return [...textParts(turn.text), ...calls, finish('tool-calls')]
}

const textParts = (text: string | undefined): LanguageModelV4StreamPart[] =>
  text === undefined ? [] : [{ type: 'text-delta', id: '0', delta: text }]

const finish = (unified: 'stop' | 'tool-calls'): LanguageModelV4StreamPart => ({
  type: 'finish',
  finishReason: { unified, raw: unified },
  usage: {
    inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 5, text: 5, reasoning: 0 },
  },
})

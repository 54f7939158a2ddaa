import {
  convertOpenAICompatibleChatUsage,
  getResponseMetadata,
  mapOpenAICompatibleFinishReason,
} from '@ai-sdk/openai-compatible/internal'
import {
  InvalidResponseDataError,
  type LanguageModelV4FinishReason,
  type LanguageModelV4StreamPart,
  type SharedV4ProviderMetadata,
} from '@ai-sdk/provider'
import { type Chunk, type ContentPart, type Delta, readChunk, type Usage } from './chunk.ts'
import { ToolCalls } from './tool-calls.ts'

export type PartsOptions = {
  /** The provider's name in metadata. */
  readonly metadataKey: string
  /** Also emits each chunk as it came. */
  readonly includeRaw: boolean
  readonly emit: (part: LanguageModelV4StreamPart) => void
}

const ID = { text: 'txt-0', reasoning: 'reasoning-0' } as const
const FAILED: LanguageModelV4FinishReason = { unified: 'error', raw: undefined }

/** Turns the events of one streamed chat completion into the parts of the provider interface. */
export class ChatParts {
  readonly #options: PartsOptions
  readonly #calls: ToolCalls
  /** The part that deltas go on. */
  #open: 'text' | 'reasoning' | undefined
  #hasMetadata = false
  #hasRefusal = false
  #reason: string | typeof FAILED | undefined
  #usage: Usage | undefined

  constructor(options: PartsOptions) {
    this.#options = options
    this.#calls = new ToolCalls(options.emit, options.metadataKey)
  }

  /**
   * Takes the data of the next event. What is no chunk, and an error that the server tells of, becomes an error part.
   * @throws InvalidResponseDataError for a tool call without a name
   */
  add(data: string): void {
    if (data === '[DONE]') return
    const { emit, includeRaw } = this.#options
    const read = readChunk(data)
    if (includeRaw) emit({ type: 'raw', rawValue: read.raw })
    if (read.type === 'error') {
      this.#reason = FAILED
      emit({ type: 'error', error: read.error })
      return
    }
    const { chunk } = read
    if (!this.#hasMetadata) this.#tellMetadata(chunk)
    this.#usage = chunk.usage ?? this.#usage
    const [choice] = chunk.choices
    this.#reason = choice?.finish_reason ?? this.#reason
    if (choice?.delta) this.#addDelta(choice.delta)
  }

  /**
   * The answer has ended.
   * @throws InvalidResponseDataError for a tool call without a name
   */
  end(): void {
    const { emit, metadataKey } = this.#options
    this.#close()
    this.#calls.end()
    const finishReason = this.#finishReason()
    if (finishReason === undefined) {
      const message = 'the answer ended without a finish reason'
      emit({ type: 'error', error: new InvalidResponseDataError({ data: undefined, message }) })
    }
    emit({
      type: 'finish',
      finishReason: finishReason ?? FAILED,
      usage: convertOpenAICompatibleChatUsage(this.#usage),
      providerMetadata: { [metadataKey]: predictions(this.#usage) },
    })
  }

  #finishReason(): LanguageModelV4FinishReason | undefined {
    const reason = this.#reason
    if (typeof reason !== 'string') return reason
    return { unified: mapOpenAICompatibleFinishReason(reason, { hasRefusal: this.#hasRefusal }), raw: reason }
  }

  /** Once; some servers send a chunk without any before. */
  #tellMetadata(chunk: Chunk): void {
    const metadata = getResponseMetadata(chunk)
    this.#hasMetadata = Object.values(metadata).some(Boolean)
    if (this.#hasMetadata) this.#options.emit({ type: 'response-metadata', ...metadata })
  }

  #addDelta({ reasoning_content, reasoning, content, refusal, tool_calls }: Delta): void {
    const thought = reasoning_content ?? reasoning
    if (typeof thought === 'string') this.#say('reasoning', thought)
    if (typeof content === 'string') this.#say('text', content)
    else for (const part of content ?? []) this.#sayPart(part)
    // A refusal is sent in the place of an answer, or after the beginning of one.
    if (typeof refusal === 'string' && refusal !== '') {
      this.#hasRefusal = true
      this.#say('text', refusal)
    }
    if (tool_calls && tool_calls.length > 0) {
      if (this.#open === 'reasoning') this.#close()
      for (const call of tool_calls) this.#calls.add(call)
    }
  }

  #sayPart({ type, text, thinking }: ContentPart): void {
    if (type === 'text' && typeof text === 'string') {
      this.#say('text', text)
    } else if (type === 'thinking' && Array.isArray(thinking)) {
      this.#say('reasoning', thinking.map(thoughtText).join(''))
    }
  }

  #say(kind: 'text' | 'reasoning', delta: string): void {
    if (delta === '') return
    const { emit } = this.#options
    if (this.#open !== kind) {
      this.#close()
      this.#open = kind
      emit({ type: `${kind}-start`, id: ID[kind] })
    }
    emit({ type: `${kind}-delta`, id: ID[kind], delta })
  }

  #close(): void {
    if (this.#open === undefined) return
    this.#options.emit({ type: `${this.#open}-end`, id: ID[this.#open] })
    this.#open = undefined
  }
}

/** The text of a text within a thought, else nothing. */
function thoughtText(part: unknown): string {
  const isText = typeof part === 'object' && part !== null && 'type' in part && part.type === 'text'
  return isText && 'text' in part && typeof part.text === 'string' ? part.text : ''
}

function predictions(usage: Usage | undefined): SharedV4ProviderMetadata[string] {
  const accepted = usage?.completion_tokens_details?.accepted_prediction_tokens ?? undefined
  const rejected = usage?.completion_tokens_details?.rejected_prediction_tokens ?? undefined
  return {
    ...(accepted === undefined ? {} : { acceptedPredictionTokens: accepted }),
    ...(rejected === undefined ? {} : { rejectedPredictionTokens: rejected }),
  }
}

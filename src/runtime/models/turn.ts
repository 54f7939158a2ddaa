import type {
  JSONObject,
  JSONValue,
  LanguageModelV4FinishReason,
  LanguageModelV4Message,
  LanguageModelV4ReasoningPart,
  LanguageModelV4StreamPart,
  LanguageModelV4TextPart,
  LanguageModelV4ToolCall,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider'

export type ModelDelta = Extract<LanguageModelV4StreamPart, { type: 'text-delta' | 'reasoning-delta' }>

type AssistantContent = Extract<LanguageModelV4Message, { role: 'assistant' }>['content']

/** What one model call said. `content` is what the next call's prompt repeats of it. */
export type ModelTurn = {
  readonly text: string
  readonly content: AssistantContent
  readonly toolCalls: readonly LanguageModelV4ToolCall[]
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number }
}

/** Gathers the parts of one model call. */
export interface TurnBuilder {
  /**
   * Takes the next part; returns it when it is a delta that is to be streamed on.
   * @throws whatever an `error` part carries
   */
  add(part: LanguageModelV4StreamPart): ModelDelta | undefined
  /** @throws Error when the stream ended too early, or with an error */
  finish(): ModelTurn
}

type OpenPart = LanguageModelV4TextPart | LanguageModelV4ReasoningPart

/** Text and reasoning keep their provider's metadata: signatures and item ids have to go back with the next call. */
export function createTurn(): TurnBuilder {
  const content: AssistantContent = []
  const toolCalls: LanguageModelV4ToolCall[] = []
  const open = new Map<string, OpenPart>()
  let finish: Extract<LanguageModelV4StreamPart, { type: 'finish' }> | undefined

  function partOf(type: OpenPart['type'], id: string): OpenPart {
    const key = `${type}/${id}`
    const known = open.get(key)
    if (known !== undefined) return known
    const made: OpenPart = { type, text: '' }
    open.set(key, made)
    content.push(made)
    return made
  }

  function add(part: LanguageModelV4StreamPart): ModelDelta | undefined {
    switch (part.type) {
      case 'text-delta':
      case 'reasoning-delta': {
        const target = partOf(part.type === 'text-delta' ? 'text' : 'reasoning', part.id)
        target.text += part.delta
        attach(target, part.providerMetadata)
        return part.delta === '' ? undefined : part
      }
      case 'text-start':
      case 'text-end':
        attach(partOf('text', part.id), part.providerMetadata)
        return undefined
      case 'reasoning-start':
      case 'reasoning-end':
        attach(partOf('reasoning', part.id), part.providerMetadata)
        return undefined
      case 'tool-call':
        if (part.providerExecuted !== true) toolCalls.push(part)
        return undefined
      case 'finish':
        finish = part
        return undefined
      case 'error':
        throw part.error
      default:
        return undefined
    }
  }

  return {
    add,
    finish: () => {
      if (finish === undefined || isCutShort(finish.finishReason)) throw new Error('the stream ended too early')
      if (finish.finishReason.unified === 'error') throw new Error('the model ended its answer with an error')
      const kept = content.filter((part) => !isBare(part))
      return {
        text: kept.map((part) => (part.type === 'text' ? part.text : '')).join(''),
        content: [...kept, ...toolCalls.map(callPart)],
        toolCalls,
        usage: usageOf(finish.usage),
      }
    },
  }
}

/** How providers tell of an answer that ended without a reason from the model. */
const isCutShort = ({ unified, raw }: LanguageModelV4FinishReason): boolean =>
  unified === 'interrupted' || (unified === 'other' && raw === undefined)

function attach(part: OpenPart, metadata: SharedV4ProviderMetadata | undefined): void {
  if (metadata !== undefined) part.providerOptions = { ...part.providerOptions, ...metadata }
}

/** Empty, and nothing of the provider's hangs on it. */
const isBare = (part: AssistantContent[number]): boolean =>
  'text' in part && part.text === '' && part.providerOptions === undefined

function callPart(call: LanguageModelV4ToolCall): AssistantContent[number] {
  const { toolCallId, toolName, providerMetadata } = call
  return {
    type: 'tool-call',
    toolCallId,
    toolName,
    input: parseArguments(call.input) ?? {},
    ...(providerMetadata === undefined ? {} : { providerOptions: providerMetadata }),
  }
}

/** The arguments of a tool call as an object; none at all count as an empty one. Undefined when they are no JSON object. */
export function parseArguments(text: string): JSONObject | undefined {
  if (text.trim() === '') return {}
  try {
    const value: JSONValue = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JSONObject) : undefined
  } catch {
    return undefined
  }
}

const usageOf = ({ inputTokens, outputTokens }: LanguageModelV4Usage): ModelTurn['usage'] => ({
  inputTokens: inputTokens.total ?? 0,
  outputTokens: outputTokens.total ?? 0,
})

import { convertToOpenAICompatibleChatMessages, prepareTools } from '@ai-sdk/openai-compatible/internal'
import type { LanguageModelV4CallOptions, SharedV4Warning } from '@ai-sdk/provider'

export type ChatRequest = {
  readonly body: Readonly<Record<string, unknown>>
  readonly warnings: SharedV4Warning[]
}

/** Whether a call says no more than what `chatRequest` puts into a request. */
export const isPlain = ({ providerOptions, responseFormat, reasoning }: LanguageModelV4CallOptions): boolean =>
  providerOptions === undefined && responseFormat === undefined && reasoning === undefined

/**
 * The request for one plain call, streamed. Chat completions have no topK: it is left out, with a warning.
 * @param provider whose metadata in the prompt is sent back
 */
export function chatRequest(model: string, provider: string, options: LanguageModelV4CallOptions): ChatRequest {
  const { tools, toolChoice, toolWarnings } = prepareTools({ tools: options.tools, toolChoice: options.toolChoice })
  return {
    body: {
      model,
      max_tokens: options.maxOutputTokens,
      temperature: options.temperature,
      top_p: options.topP,
      frequency_penalty: options.frequencyPenalty,
      presence_penalty: options.presencePenalty,
      stop: options.stopSequences,
      seed: options.seed,
      messages: convertToOpenAICompatibleChatMessages(options.prompt, { provider, providerOptionsKey: provider }),
      tools,
      tool_choice: toolChoice,
      stream: true,
      stream_options: { include_usage: true },
    },
    warnings: [
      ...(options.topK === undefined ? [] : [{ type: 'unsupported' as const, feature: 'topK' }]),
      ...toolWarnings,
    ],
  }
}

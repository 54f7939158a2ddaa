import { JSONParseError, TypeValidationError } from '@ai-sdk/provider'
import { chunkFault, errorFault } from './shape.ts'

type Maybe<T> = T | null

export type ToolCallDelta = {
  readonly index?: Maybe<number> | undefined
  readonly id?: Maybe<string> | undefined
  readonly function: { readonly name?: Maybe<string>; readonly arguments?: Maybe<string> }
  /** Google's signatures of thoughts, as its OpenAI-compatible endpoint hands them out. */
  readonly extra_content?:
    | Maybe<{ readonly google?: Maybe<{ readonly thought_signature?: Maybe<string> }> }>
    | undefined
}

export type ContentPart = { readonly type: string; readonly text?: unknown; readonly thinking?: unknown }

export type Delta = {
  readonly content?: Maybe<string | readonly ContentPart[]>
  /** A text; some servers send other values, which mean nothing. */
  readonly refusal?: unknown
  readonly reasoning_content?: Maybe<string>
  readonly reasoning?: Maybe<string>
  readonly tool_calls?: Maybe<readonly ToolCallDelta[]>
}

export type Usage = {
  readonly prompt_tokens?: Maybe<number>
  readonly completion_tokens?: Maybe<number>
  readonly prompt_tokens_details?: Maybe<{ readonly cached_tokens?: Maybe<number> }>
  readonly completion_tokens_details?: Maybe<{
    readonly reasoning_tokens?: Maybe<number>
    readonly accepted_prediction_tokens?: Maybe<number>
    readonly rejected_prediction_tokens?: Maybe<number>
  }>
}

/** One event of a streamed chat completion, as far as it is read. */
export type Chunk = {
  readonly id?: Maybe<string>
  readonly created?: Maybe<number>
  readonly model?: Maybe<string>
  readonly choices: readonly { readonly delta?: Maybe<Delta>; readonly finish_reason?: Maybe<string> }[]
  readonly usage?: Maybe<Usage>
}

export type ReadChunk =
  | { readonly type: 'chunk'; readonly chunk: Chunk; readonly raw: unknown }
  /** The server tells of an error, or what it sent is no chunk. */
  | { readonly type: 'error'; readonly error: unknown; readonly raw: unknown }

/** Reads the data of one event. */
export function readChunk(data: string): ReadChunk {
  let raw: unknown
  try {
    raw = JSON.parse(data)
  } catch (cause) {
    return { type: 'error', error: new JSONParseError({ text: data, cause }), raw: undefined }
  }
  const fault = chunkFault(raw)
  if (fault !== undefined && !isError(raw)) return { type: 'error', error: misshapen(raw, fault), raw }
  const value = raw as Chunk
  return 'error' in value ? { type: 'error', error: value.error, raw } : { type: 'chunk', chunk: value, raw }
}

const misshapen = (value: unknown, fault: string): TypeValidationError =>
  new TypeValidationError({ value, cause: new TypeError(`chunk${fault} is not what chat completions have there`) })

/** What an error of OpenAI's form says; undefined for any other value. */
export function errorMessage(value: unknown): string | undefined {
  return isError(value) ? value.error.message : undefined
}

const isError = (value: unknown): value is { readonly error: { readonly message: string } } =>
  errorFault(value) === undefined

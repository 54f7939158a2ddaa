import type { IncomingMessage } from 'node:http'
import {
  APICallError,
  type LanguageModelV4,
  type LanguageModelV4CallOptions,
  type LanguageModelV4StreamPart,
  type LanguageModelV4StreamResult,
} from '@ai-sdk/provider'
import { createParser } from 'eventsource-parser'
import type { Network } from '../network/index.ts'
import { errorMessage } from './chat/chunk.ts'
import { ChatParts } from './chat/parts.ts'
import { chatRequest, isPlain } from './chat/request.ts'
import { createModelFetch } from './fetch.ts'
import { endpointOf, headersOf, post } from './post.ts'

export type ChatCompletionsSettings = {
  readonly model: string
  /** Empty for a server without keys. */
  readonly apiKey: string
  readonly baseURL: string
  readonly network: Network
}

const PROVIDER = 'openai-compatible'

/** Parts that wait for their reader before the socket is held back. */
const MOST_WAITING = 64

/** Most of a refusal's body that is read, in characters. */
const MAX_REFUSAL = 100_000

/**
 * A model behind OpenAI's chat completions, spoken without the streams and schemas of @ai-sdk/openai-compatible, whose
 * parts and requests it gives (docs/decisions/001-chat-completions-transport.md). What a run never asks for,
 * `doGenerate` and the options that `isPlain` names, is left to that package.
 * @throws ProblemError InvalidSpec, AddressNotAllowed when the address is none, or may not be called
 */
export function chatCompletionsModel(settings: ChatCompletionsSettings): LanguageModelV4 {
  const { model, apiKey, baseURL, network } = settings
  const url = `${baseURL.replace(/\/$/, '')}/chat/completions`
  const endpoint = endpointOf(url, network)
  const fixed = {
    'content-type': 'application/json',
    'user-agent': 'midflight',
    ...(apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` }),
  }

  async function doStream(options: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    if (!isPlain(options)) return (await packageModel(settings)).doStream(options)
    const { abortSignal: signal, includeRawChunks: includeRaw = false } = options
    const { body, warnings } = chatRequest(model, PROVIDER, options)
    const headers = { ...fixed, ...present(options.headers) }
    const res = await post(endpoint, { headers, body: JSON.stringify(body), signal })
    if (!isSuccess(res)) throw await refusal(res, url, body)
    return {
      stream: streamOf(res, { type: 'stream-start', warnings }, { signal, includeRaw }),
      request: { body },
      response: { headers: headersOf(res) },
    }
  }

  return {
    specificationVersion: 'v4',
    provider: `${PROVIDER}.chat`,
    modelId: model,
    supportedUrls: {},
    doStream,
    doGenerate: async (options) => (await packageModel(settings)).doGenerate(options),
  }
}

async function packageModel({ model, apiKey, baseURL, network }: ChatCompletionsSettings): Promise<LanguageModelV4> {
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
  const fetch = createModelFetch(network)
  return createOpenAICompatible({ name: PROVIDER, apiKey, baseURL, includeUsage: true, fetch })(model)
}

function present(headers: LanguageModelV4CallOptions['headers'] = {}): Record<string, string> {
  const set = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name.toLowerCase(), value] as const],
  )
  return Object.fromEntries(set)
}

const isSuccess = ({ statusCode = 500 }: IncomingMessage): boolean => statusCode >= 200 && statusCode < 300

/** The refusal as an error that says what the server said, without the request's headers. */
async function refusal(res: IncomingMessage, url: string, requestBodyValues: unknown): Promise<APICallError> {
  const responseBody = await readText(res)
  const data = parsed(responseBody)
  return new APICallError({
    message: errorMessage(data) ?? res.statusMessage ?? '',
    url,
    requestBodyValues,
    statusCode: res.statusCode ?? 500,
    responseHeaders: headersOf(res),
    responseBody,
    data,
  })
}

/** As much of it as comes, up to a limit. */
async function readText(res: IncomingMessage): Promise<string> {
  let text = ''
  try {
    for await (const piece of res.setEncoding('utf8')) {
      text += piece
      if (text.length > MAX_REFUSAL) break
    }
  } catch {
    return text
  }
  return text.slice(0, MAX_REFUSAL)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

type Part = LanguageModelV4StreamPart
type StreamOptions = { readonly signal: AbortSignal | undefined; readonly includeRaw: boolean }

/** The parts of an answer as it comes. The socket is held back while nobody reads them. */
function streamOf(res: IncomingMessage, first: Part, { signal, includeRaw }: StreamOptions): ReadableStream<Part> {
  let tookMore = (): void => undefined
  const start = (controller: ReadableStreamDefaultController<Part>): void => {
    const fail = (error: unknown): void => {
      controller.error(error)
      res.destroy()
    }
    const emit = (part: Part): void => controller.enqueue(part)
    const parts = new ChatParts({ metadataKey: PROVIDER, includeRaw, emit })
    const events = createParser({ onEvent: ({ data }) => parts.add(data) })
    emit(first)
    res.setEncoding('utf8')
    res.on('data', (text: string) => {
      attempt(() => events.feed(text), fail)
      if ((controller.desiredSize ?? 0) <= 0) res.pause()
      tookMore()
    })
    res.once('end', () => {
      attempt(() => {
        parts.end()
        controller.close()
      }, fail)
    })
    res.on('error', (error) => controller.error(signal?.aborted ? signal.reason : error))
  }
  // Not settled until more has come: the stream would ask again after every part that is read.
  const pull = (): Promise<void> => {
    res.resume()
    return new Promise((resolve) => {
      tookMore = resolve
    })
  }
  const cancel = (): void => void res.destroy()
  return new ReadableStream({ start, pull, cancel }, { highWaterMark: MOST_WAITING })
}

function attempt(step: () => void, fail: (error: unknown) => void): void {
  try {
    step()
  } catch (error) {
    fail(error)
  }
}

import type { IncomingMessage } from 'node:http'
import type { Network } from '../network/index.ts'
import { endpointOf, headersOf, post } from './post.ts'

/**
 * What model providers need of `fetch`, a POST of text with an answer that streams, at two thirds of the processor time
 * of a whole model call over the global one (measured with @ai-sdk/openai-compatible). What `post` says holds for it.
 * @throws ProblemError InvalidSpec, AddressNotAllowed; the signal's reason when it aborts; else the socket's error, with
 *   its code
 */
export const createModelFetch =
  (network: Network): typeof fetch =>
  async (input, init = {}) => {
    const { signal, body, headers } = init
    const endpoint = endpointOf(input instanceof Request ? input.url : input, network)
    const text = typeof body === 'string' ? body : undefined
    return answerOf(await post(endpoint, { headers: plainHeaders(headers), body: text, signal }), signal)
  }

/** Providers hand over a plain object, which is used as it is. */
function plainHeaders(headers: RequestInit['headers'] = {}): Record<string, string> {
  const isPlain = !(headers instanceof Headers) && !Array.isArray(headers)
  return isPlain ? (headers as Record<string, string>) : Object.fromEntries(new Headers(headers))
}

function answerOf(res: IncomingMessage, signal: AbortSignal | null | undefined): Response {
  const { statusCode: status = 500 } = res
  const isEmpty = status === 204 || status === 205 || status === 304
  return new Response(isEmpty ? null : streamOf(res, signal), { status, headers: headersOf(res) })
}

/** The body as a stream that holds the socket back while nobody reads. */
const streamOf = (res: IncomingMessage, signal: AbortSignal | null | undefined): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start: (controller) => {
      res.on('data', (chunk: Uint8Array) => {
        controller.enqueue(chunk)
        if ((controller.desiredSize ?? 0) <= 0) res.pause()
      })
      res.once('end', () => controller.close())
      res.on('error', (error) => controller.error(signal?.aborted ? signal.reason : error))
    },
    pull: () => {
      res.resume()
    },
    cancel: (reason) => {
      res.destroy(reason instanceof Error ? reason : undefined)
    },
  })

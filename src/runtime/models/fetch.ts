import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'

/**
 * What model providers need of `fetch`, a POST of text with an answer that streams, at two thirds of the processor time
 * of a whole model call over the global one (measured with @ai-sdk/openai-compatible). Follows no redirect and asks for
 * no compression. Connections, proxies and certificates are those of Node's global agents.
 * @throws the signal's reason when it aborts; else the socket's error, with its code
 */
export const modelFetch: typeof fetch = (input, init = {}) =>
  new Promise((resolve, reject) => {
    const { signal, body } = init
    if (signal?.aborted) return reject(signal.reason)
    const url = new URL(input instanceof Request ? input.url : input)
    const open = url.protocol === 'https:' ? requestHttps : requestHttp
    const headers = { 'accept-encoding': 'identity', ...plainHeaders(init.headers) }

    const send = (isRepeat: boolean): void => {
      const req = open(url, { method: init.method ?? 'POST', headers })
      const onAbort = (): void => void req.destroy(signal?.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      req.once('close', () => signal?.removeEventListener('abort', onAbort))
      req.once('response', (res) => resolve(answerOf(res, signal)))
      req.once('error', (error) => {
        if (wasClosedWhileIdle(req, error) && !isRepeat) send(true)
        else reject(error)
      })
      req.end(typeof body === 'string' ? body : undefined)
    }
    send(false)
  })

/** Providers hand over a plain object, which is used as it is. */
function plainHeaders(headers: RequestInit['headers'] = {}): Record<string, string> {
  const isPlain = !(headers instanceof Headers) && !Array.isArray(headers)
  return isPlain ? (headers as Record<string, string>) : Object.fromEntries(new Headers(headers))
}

/** The server closed a kept connection just as it was used again: the request was not looked at. */
const wasClosedWhileIdle = (req: ClientRequest, error: Error): boolean =>
  req.reusedSocket && 'code' in error && error.code === 'ECONNRESET'

function answerOf(res: IncomingMessage, signal: AbortSignal | null | undefined): Response {
  const headers = Object.entries(res.headers).map(([name, value]) => [name, String(value)] as [string, string])
  const { statusCode: status = 500 } = res
  const isEmpty = status === 204 || status === 205 || status === 304
  return new Response(isEmpty ? null : streamOf(res, signal), { status, headers })
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

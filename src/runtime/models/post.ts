import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { urlToHttpOptions } from 'node:url'
import { admitUrl, type Network } from '../network/index.ts'

/** Where requests go, worked out once. */
export type Endpoint = { readonly open: typeof requestHttp; readonly at: RequestOptions }

export type PostRequest = {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly signal: AbortSignal | null | undefined
}

/** @throws ProblemError InvalidSpec, AddressNotAllowed when nothing may be sent there */
export function endpointOf(text: string | URL, { policy, agents }: Network): Endpoint {
  const url = admitUrl(text, policy)
  const [open, agent] = url.protocol === 'https:' ? [requestHttps, agents.https] : [requestHttp, agents.http]
  return { open, at: { ...urlToHttpOptions(url), method: 'POST', agent } }
}

/**
 * Posts text. Resolves with the head of the answer, whatever its status; the body is the caller's to read or destroy.
 * Follows no redirect and asks for no compression. A request that met a connection which the server had closed meanwhile
 * is sent once more.
 * @throws the signal's reason when it aborts; ProblemError AddressNotAllowed when the host leads to an address that may
 *   not be called; else the socket's error, with its code
 */
export function post({ open, at }: Endpoint, { headers, body, signal }: PostRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const options = { ...at, headers: { 'accept-encoding': 'identity', ...headers } }

    const send = (isRepeat: boolean): void => {
      const req = open(options)
      const onAbort = (): void => void req.destroy(signal?.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      req.once('close', () => signal?.removeEventListener('abort', onAbort))
      req.once('response', resolve)
      req.once('error', (error) => {
        if (wasClosedWhileIdle(req, error) && !isRepeat) send(true)
        else reject(error)
      })
      req.end(body)
    }
    send(false)
  })
}

/** The server closed a kept connection just as it was used again: the request was not looked at. */
const wasClosedWhileIdle = (req: ClientRequest, error: Error): boolean =>
  req.reusedSocket && 'code' in error && error.code === 'ECONNRESET'

/** The headers of an answer, one text each. */
export const headersOf = ({ headers }: IncomingMessage): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))

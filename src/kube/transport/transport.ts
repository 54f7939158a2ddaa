import { abandonOnAbort, type Clock, sleep, systemClock } from '../../clock.ts'
import type { Method, RestMetrics } from '../metrics/rest.ts'
import { isApiError } from '../types.ts'
import { type AccessSource, createAccess } from './access.ts'
import type { Access, ClusterConfig } from './config.ts'
import { basePathOf, type Connections, createConnections } from './connections.ts'
import { createDeadline } from './deadline.ts'
import { unanswered } from './failure.ts'
import { planRetry } from './retry.ts'
import { type Line, openStream, sendRequest } from './send.ts'

/** Half of what an API server itself allows a request. */
const TIMEOUT_MS = 30_000
/** Together below the 10 s in which a frozen server has to show. */
const HEARTBEAT = { periodMs: 4000, deadlineMs: 5000 }

export type TransportRequest = {
  readonly method: Method
  /** With its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Whether doing it twice is the same as doing it once. */
  readonly repeatable: boolean
  /** For all attempts together; 30 s when absent. */
  readonly timeoutMs?: number
}

export type StreamRequest = {
  /** With its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Talks HTTP to one API server. */
export interface Transport {
  /**
   * The body of a 2xx answer. No redirect is followed.
   * @throws ApiError for any other answer, or with code 0 and the reason `Unreachable`, `Untrusted`, `ConnectionLost`,
   * `Timeout`, `TooLarge`, `InvalidResponse` or `CredentialsUnavailable` for none; the signal's reason when it aborts
   */
  request(request: TransportRequest, signal: AbortSignal): Promise<string>
  /**
   * The body of a 200 answer to a GET as it comes; resolves when it begins. Shares a connection with other streams.
   * The chunks end with an ApiError when the connection does, also when the server freezes.
   * @throws ApiError as `request` does
   */
  stream(request: StreamRequest, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}

export type TransportOptions = {
  /** Ends all requests, streams and connections. */
  readonly signal: AbortSignal
  readonly metrics?: RestMetrics | undefined
  readonly clock?: Clock
  /** From 0 to below 1. */
  readonly random?: () => number
  readonly heartbeat?: { readonly periodMs: number; readonly deadlineMs: number }
}

/** Opens nothing before the first request. */
export function createTransport(config: ClusterConfig, options: TransportOptions): Transport {
  const { clock = systemClock, random = Math.random, metrics, signal: life } = options
  const line: Line = { host: new URL(config.server).host, clock, metrics }
  const access = createAccess(config, clock)
  const connectionsFor = createConnector(config, { ...options, clock })
  const base = basePathOf(config.server)

  return {
    request: async ({ timeoutMs = TIMEOUT_MS, repeatable, ...request }, signal) => {
      const endsAt = clock.monotonic() + timeoutMs
      using deadline = createDeadline(clock, timeoutMs, [signal, life])
      const send = (given: Access) => {
        const headers = { ...request.headers, ...given.headers }
        return sendRequest(
          line,
          connectionsFor(given).requests,
          { ...request, path: `${base}${request.path}`, headers },
          deadline.signal,
        )
      }
      for (let attempt = 1; ; attempt++) {
        deadline.signal.throwIfAborted()
        try {
          return await withAccess(access, deadline.signal, send)
        } catch (error) {
          if (deadline.signal.aborted || !isApiError(error)) throw error
          const delayMs = planRetry({ error, repeatable, attempt, leftMs: endsAt - clock.monotonic() }, random())
          if (delayMs === undefined) throw error
          metrics?.retried(request.method)
          await sleep(clock, delayMs, deadline.signal)
        }
      }
    },
    stream: (request, signal) =>
      withAccess(access, signal, async (given) => {
        const connections = connectionsFor(given)
        const headers = { ...request.headers, ...given.headers }
        const attempt = { method: 'GET', path: `${base}${request.path}`, headers, timeoutMs: TIMEOUT_MS } as const
        try {
          return await openStream(line, connections.takeSlot(), attempt, [signal, life])
        } catch (error) {
          if (!connections.fallBack(error)) throw error
          return openStream(line, connections.takeSlot(), attempt, [signal, life])
        }
      }),
  }
}

/** The connections for an access: others as soon as its certificates are others. */
function createConnector(
  { server }: ClusterConfig,
  { signal, clock, heartbeat = HEARTBEAT }: TransportOptions & { readonly clock: Clock },
): (access: Access) => Connections {
  let current: { readonly tls: string; readonly connections: Connections } | undefined
  let headers: Access['headers'] = {}
  const onAbort = () => current?.connections.destroy(unanswered('ConnectionLost', 'the process is ending'))
  signal.addEventListener('abort', onAbort, { once: true })
  return (given) => {
    signal.throwIfAborted()
    headers = given.headers
    const tls = JSON.stringify(given.tls)
    if (current?.tls === tls) return current.connections
    current?.connections.retire(unanswered('ConnectionLost', 'the certificates for the API server were replaced'))
    const connections = createConnections({ server, tls: given.tls, heartbeat, headers: () => headers, clock, signal })
    current = { tls, connections }
    return connections
  }
}

/**
 * Once more with what the files and plugins hold now, when the server refused what they held before, or its
 * certificate was not trusted.
 */
async function withAccess<T>(
  access: AccessSource,
  signal: AbortSignal,
  send: (access: Access) => Promise<T>,
): Promise<T> {
  const given = await abandonOnAbort(access.read(), signal)
  try {
    return await send(given)
  } catch (error) {
    if (!isApiError(error) || !(error.code === 401 || error.reason === 'Untrusted')) throw error
    const fresh = await abandonOnAbort(access.read(given), signal)
    if (fresh === given) throw error
    return send(fresh)
  }
}

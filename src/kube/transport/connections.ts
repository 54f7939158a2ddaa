import { buildConnector, Client, type Dispatcher, Pool } from 'undici'
import type { Clock } from '../../clock.ts'
import { MAX_REFUSAL_BYTES } from './body.ts'
import type { TlsOptions } from './config.ts'
import { unanswered } from './failure.ts'
import { createLanes, type Lanes, type Slot } from './lanes.ts'

/**
 * The API server gives HTTP/2 clients 100 streams per connection, which RFC 9113 (5.1.2) recommends as the least; some
 * are left for heartbeats and for streams that are just ending.
 */
const STREAMS_PER_CONNECTION = 90
/** As many as a work queue's workers are meant to be; what is above waits. */
const REQUEST_CONNECTIONS = 64
const CONNECT_TIMEOUT_MS = 5000
/** Below the 90 s after which Go closes an idle connection. */
const KEEP_ALIVE_MS = 60_000

/** Answered at once, outside of the server's queues. `etcd` is left out: a slow disk is no frozen server. */
const HEARTBEAT_PATH = '/livez?exclude=etcd'

/** What was connected with one set of certificates. */
export interface Connections {
  /** For requests: HTTP/1.1 with keep-alive. */
  readonly requests: Dispatcher
  /** For streams: shared HTTP/2 connections; one HTTP/1.1 connection each where the server does not speak it. */
  takeSlot(): Slot
  /** To be called with an error of a stream: true when it was that the server lacks HTTP/2, which is known from now. */
  fallBack(error: unknown): boolean
  /** Lets requests under way end, and ends streams. */
  retire(error: Error): void
  /** Ends everything. */
  destroy(error: Error): void
}

export type ConnectionsOptions = {
  readonly server: string
  readonly tls: TlsOptions
  readonly heartbeat: { readonly periodMs: number; readonly deadlineMs: number }
  /** What the server is asked for a sign of life with. */
  headers(): Readonly<Record<string, string>>
  readonly clock: Clock
  readonly signal: AbortSignal
}

export function createConnections({ server, tls, heartbeat, ...options }: ConnectionsOptions): Connections {
  const { origin, protocol, host } = new URL(server)
  const path = `${basePathOf(server)}${HEARTBEAT_PATH}`
  const timeouts = { headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: KEEP_ALIVE_MS }
  const secure = secureOptions(tls)
  const createPool = (connections: number | null) =>
    new Pool(origin, { ...timeouts, connections, allowH2: false, connect: { ...secure, allowH2: false } })
  /** Requests under way fail. */
  const resetRequests = (error: Error) => {
    const before = requests
    requests = createPool(REQUEST_CONNECTIONS)
    before.destroy(error).catch(ignore)
  }
  const lanesOf = (capacity: number, create: () => Dispatcher): Lanes =>
    createLanes({
      ...options,
      ...heartbeat,
      create,
      capacity,
      host,
      beat: (lane, signal) => askForLife(lane, { path, headers: options.headers() }, signal),
      // A connection that a frozen server or a lost route holds serves nobody: repeatable requests start again.
      onFrozen: () => resetRequests(unanswered('ConnectionLost', `the API server ${host} gave no sign of life`)),
    })
  const overHttp1 = () => lanesOf(Number.POSITIVE_INFINITY, () => createPool(null))
  const overHttp2 = () =>
    lanesOf(
      STREAMS_PER_CONNECTION,
      () => new Client(origin, { ...timeouts, allowH2: true, connect: http2Connector(secure) }),
    )

  let requests = createPool(REQUEST_CONNECTIONS)
  let streams =
    protocol === 'https:' ? { protocol: 'http2', lanes: overHttp2() } : { protocol: 'http1', lanes: overHttp1() }

  return {
    get requests() {
      return requests
    },
    takeSlot: () => streams.lanes.take(),
    fallBack: (error) => {
      if (!isWithoutHttp2(error)) return false
      if (streams.protocol === 'http2') streams = { protocol: 'http1', lanes: overHttp1() }
      return true
    },
    retire: (error) => {
      requests.close().catch(ignore)
      streams.lanes.destroy(error)
    },
    destroy: (error) => {
      requests.destroy(error).catch(ignore)
      streams.lanes.destroy(error)
    },
  }
}

/** What all paths begin with: nothing, but where a gateway has many clusters. */
export const basePathOf = (server: string): string => new URL(server).pathname.replace(/\/+$/, '')

type Beat = { readonly path: string; readonly headers: Readonly<Record<string, string>> }

/** Any answer is a sign of life. */
async function askForLife(lane: Dispatcher, beat: Beat, signal: AbortSignal): Promise<void> {
  const { body } = await lane.request({ method: 'GET', ...beat, signal })
  await body.dump({ limit: MAX_REFUSAL_BYTES, signal })
}

const WITHOUT_HTTP2 = 'ERR_NO_HTTP2'

const isWithoutHttp2 = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === WITHOUT_HTTP2

/** Connects only where HTTP/2 is spoken: over HTTP/1.1 the streams of a lane would wait for each other for ever. */
function http2Connector(secure: buildConnector.BuildOptions): buildConnector.connector {
  const connect = buildConnector({ ...secure, allowH2: true, preferH2: true })
  return (target, callback) =>
    connect(target, (...[error, socket]) => {
      if (error !== null) return callback(error, null)
      if ('alpnProtocol' in socket && socket.alpnProtocol === 'h2') return callback(null, socket)
      socket.destroy()
      return callback(Object.assign(new Error('the server does not speak HTTP/2'), { code: WITHOUT_HTTP2 }), null)
    })
}

const secureOptions = ({ ca, cert, key, serverName, skipVerify }: TlsOptions): buildConnector.BuildOptions => ({
  timeout: CONNECT_TIMEOUT_MS,
  ...(ca === undefined ? {} : { ca }),
  ...(cert === undefined ? {} : { cert }),
  ...(key === undefined ? {} : { key }),
  ...(serverName === undefined ? {} : { servername: serverName }),
  ...(skipVerify ? { rejectUnauthorized: false } : {}),
})

const ignore = () => undefined

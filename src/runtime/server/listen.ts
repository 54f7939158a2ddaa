import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { ProblemError } from '../../api/index.ts'
import { type Leave, letClientsGo } from './leave.ts'
import {
  followPair,
  MIN_TLS,
  type Pair,
  readPair,
  type ServedCertificate,
  servedCertificate,
  type TlsFiles,
} from './tls.ts'

export type ServeOptions = {
  readonly app: RequestListener
  /** `::` is every address, of IPv6 and of IPv4; of IPv4 alone where the machine has no IPv6. */
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** Its abort ends the server. */
  readonly signal: AbortSignal
  /** Flag that sets the port, for messages. */
  readonly portFlag?: string
  /** Serves HTTPS with this certificate, and with what the files hold later; without it, HTTP. */
  readonly tls?: TlsFiles | undefined
  /** Told which certificate is served, at first and whenever it is another one. */
  readonly onCertificate?: (served: ServedCertificate) => void
  /** How long answers under way may take to finish after the abort, in milliseconds. */
  readonly drainMs?: number
  /** How its clients are let go before that; over HTTP only. */
  readonly leave?: Leave
}

export type Serving = {
  readonly url: string
  readonly port: number
  /** Resolves when, after `leave`, no client is left; never without it. */
  readonly quiet: Promise<void>
  /** Resolves when the server has ended and every connection is closed. */
  readonly closed: Promise<void>
}

/**
 * Limits of what a client may send. Node answers 431 for larger headers and 408 for slower ones; `requestTimeout`
 * covers headers and body, not the answer.
 */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
}

/** Longest TLS handshake, in milliseconds. */
const HANDSHAKE_MS = 10_000

/**
 * Serves an app until the signal aborts: then it accepts no more, closes idle connections at once, lets answers under
 * way finish for `drainMs` and cuts the rest.
 * @throws ProblemError InvalidArguments naming the flag to change when it cannot listen, or the files of `tls`
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { host, port, signal, portFlag = '--port', drainMs = 10_000 } = options
  const server = await createServerFor(options)
  const quiet = letClientsGo(server, options.leave)
  await listening(server, { host, port, portFlag })
  const closed = new Promise<void>((resolve) => server.once('close', resolve))
  const address = server.address() as AddressInfo
  closeOnAbort(server, signal, drainMs)
  const authority = address.family === 'IPv6' ? `[${address.address}]` : address.address
  const scheme = options.tls === undefined ? 'http' : 'https'
  return { url: `${scheme}://${authority}:${address.port}`, port: address.port, quiet, closed }
}

async function createServerFor({ app, tls, signal, onCertificate }: ServeOptions): Promise<Server> {
  if (tls === undefined) return createServer(LIMITS, app)
  const first = await readPair(tls)
  const server = createTlsServer({ ...LIMITS, ...first, minVersion: MIN_TLS, handshakeTimeout: HANDSHAKE_MS }, app)
  const onPair = (pair: Pair) => onCertificate?.(servedCertificate(pair))
  onPair(first)
  followPair(server, tls, { first, signal, onPair })
  return server
}

type Asked = { readonly host: string; readonly port: number; readonly portFlag: string }

function listening(server: Server, asked: Asked): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(listenProblem(error, asked))
    server.once('error', onError)
    // Without a host Node listens on `::`, and on 0.0.0.0 where it cannot.
    server.listen({ port: asked.port, ...(asked.host !== '::' && { host: asked.host }) }, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

function listenProblem(error: NodeJS.ErrnoException, { host, port, portFlag }: Asked): ProblemError {
  const causes: Readonly<Record<string, string>> = {
    EADDRINUSE: `port ${port} on ${host} is in use: choose another with ${portFlag}`,
    EACCES: `port ${port} needs privileges: choose one above 1023 with ${portFlag}`,
    EADDRNOTAVAIL: `${host} is not an address of this machine: choose another with --host`,
    ENOTFOUND: `${host} is not an address or a known name: choose another with --host`,
  }
  const message = causes[error.code ?? ''] ?? `cannot listen on ${host} port ${port}: ${error.message}`
  return new ProblemError({ reason: 'InvalidArguments', message }, { cause: error })
}

function closeOnAbort(server: Server, signal: AbortSignal, drainMs: number): void {
  const close = (): void => {
    const deadline = setTimeout(() => server.closeAllConnections(), drainMs)
    server.once('close', () => clearTimeout(deadline))
    server.close()
  }
  // A connection kept alive past its last answer would hold the server open.
  server.on('request', (_req, res) => {
    res.once('close', () => {
      if (signal.aborted) setImmediate(() => server.closeIdleConnections())
    })
  })
  if (signal.aborted) close()
  else signal.addEventListener('abort', close, { once: true })
}

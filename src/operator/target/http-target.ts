import { isIPv6 } from 'node:net'
import { Client, Pool } from 'undici'
import type { z } from 'zod'
import { applyResponse, type RuntimeState, runtimeState } from '../../api/index.ts'
import { type Clock, systemClock } from '../../clock.ts'
import type { RuntimeTarget } from '../ports.ts'
import type { ParseEvent } from './event-parser.ts'
import { readEvents } from './event-stream.ts'
import { type Exchange, exchange, type Line } from './exchange.ts'
import { checkProtocol, refusalOf, unreachable } from './refusal.ts'
import type { Turns } from './turns.ts'

export type HttpTargetOptions = {
  /** A name or an address; that of a pod is an address. */
  readonly host: string
  readonly port: number
  /** Asked for with every request, as it may be renewed. */
  readonly token: () => string
  /** Certificate authorities (PEM) and the name in the pod's certificate; absent for plain HTTP. */
  readonly tls?: { readonly ca: string; readonly serverName: string } | undefined
  readonly clock?: Clock
  /** For long answers: one for all pods of an operator. */
  readonly turns: Turns
  /** One for all pods of an operator. */
  readonly parseEvent: ParseEvent
}

/** A pod over the network. All errors are ProblemErrors that name host and port, never token or content. */
export type HttpTarget = RuntimeTarget & {
  /** Ends all connections; what is under way fails. */
  close(): Promise<void>
}

const PATH = '/management/v1'
const MIB = 1024 * 1024
const CONNECT_MS = 1000
/** One for the state, the others so that a load of tools that takes long holds up no other call. */
const REQUEST_CONNECTIONS = 3

const STATE = { headMs: 2000, wholeMs: 5000, maxBytes: 64 * MIB }
const CHECK = { headMs: 2000, wholeMs: 5000, maxBytes: 16 * MIB }
/** A runtime answers when all is loaded, for which it gives a bundle 10 s. */
const ACTIVATE = { headMs: 15_000, wholeMs: 15_000, maxBytes: 16 * MIB }

/** Connects only when something is asked. */
export function createHttpTarget(options: HttpTargetOptions): HttpTarget {
  const { host, port, token, tls, clock = systemClock, turns, parseEvent } = options
  const address = `${isIPv6(host) ? `[${host}]` : host}:${port}`
  const { requests, streams } = connectionsTo(address, tls)
  const line: Line = { dispatcher: requests, address, clock, turns, parseEvent }

  /** @returns undefined for 304, which only a request with an etag may get */
  const call = async (request: Call, signal: AbortSignal) => {
    const sent = token()
    const answer = await exchange(line, { ...request, headers: { ...headersOf(sent), ...request.headers } }, signal)
    const { status, headers, body } = answer
    if (status === 304 && request.headers['if-none-match'] !== undefined) return undefined
    if (status !== 200) throw refusalOf({ status, body, address, token: sent })
    return { body, etag: single(headers.etag) }
  }

  return {
    state: async (signal, etag) => {
      const headers = etag === undefined ? {} : { 'if-none-match': etag }
      const answer = await call({ method: 'GET', path: `${PATH}/state`, headers, ...STATE }, signal)
      if (answer === undefined) return { type: 'unchanged' }
      checkProtocol(answer.body, address)
      const state: RuntimeState = parsed(runtimeState, answer.body, address)
      return { type: 'state', state, etag: answer.etag }
    },
    apply: async (request, signal) => {
      const limits = request.mode === 'check' ? CHECK : ACTIVATE
      const headers = { 'content-type': 'application/json' }
      const body = JSON.stringify(request)
      const answer = await call({ method: 'POST', path: `${PATH}/apply`, headers, body, ...limits }, signal)
      return parsed(applyResponse, answer?.body, address)
    },
    events: (signal, lastEventId) => {
      const sent = token()
      const after = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
      const headers = { ...headersOf(sent), accept: 'text/event-stream', ...after }
      return readEvents({ ...line, dispatcher: streams }, { path: `${PATH}/events`, headers, token: sent }, signal)
    },
    close: async () => {
      const reason = unreachable(address, 'is not called any more')
      await Promise.all([requests.destroy(reason), streams.destroy(reason)])
    },
  }
}

type Call = Exchange & { readonly headers: { readonly 'if-none-match'?: string } }

/** Events have a connection of their own, so that they neither wait nor hold up. Time limits are set by the callers. */
function connectionsTo(address: string, tls: HttpTargetOptions['tls']): { requests: Pool; streams: Client } {
  const secure = tls === undefined ? {} : { ca: tls.ca, servername: tls.serverName, rejectUnauthorized: true }
  const options = {
    connect: { ...secure, timeout: CONNECT_MS },
    allowH2: false,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  const origin = `${tls === undefined ? 'http' : 'https'}://${address}`
  return {
    requests: new Pool(origin, { ...options, connections: REQUEST_CONNECTIONS }),
    streams: new Client(origin, options),
  }
}

const headersOf = (token: string): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  accept: 'application/json',
  'accept-encoding': 'identity',
})

function parsed<T>(schema: z.ZodType<T>, body: unknown, address: string): T {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  throw unreachable(address, 'answers something that is none of the management protocol')
}

const single = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header

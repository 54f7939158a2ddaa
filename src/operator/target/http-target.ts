import { isIPv6 } from 'node:net'
import type { z } from 'zod'
import { applyResponse, type RuntimeState, runtimeState } from '../../api/index.ts'
import { type Clock, systemClock } from '../../clock.ts'
import type { RuntimeTarget } from '../ports.ts'
import { PodConnections } from './connections.ts'
import type { ParseEvent } from './event-parser.ts'
import { readEvents } from './event-stream.ts'
import { type Exchange, exchange, type Line } from './exchange.ts'
import type { RunBy } from './hints.ts'
import { checkProtocol, refusalOf, unreachable } from './refusal.ts'
import type { TlsTrust } from './trusted-pems.ts'
import type { Turns } from './turns.ts'

export type HttpTargetOptions = {
  /** A name or an address; that of a pod is an address. */
  readonly host: string
  readonly port: number
  /** The token to call with, and others for when that one is refused. Asked for with every request, as they change. */
  readonly tokens: () => readonly string[]
  /** Asked for with every request, as it may change; absent for plain HTTP. */
  readonly tls?: (() => TlsTrust) | undefined
  readonly runBy?: RunBy
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

const STATE = { headMs: 2000, wholeMs: 5000, maxBytes: 64 * MIB }
const CHECK = { headMs: 2000, wholeMs: 5000, maxBytes: 16 * MIB }
/** A runtime answers when all is loaded, for which it gives a bundle 10 s. */
const ACTIVATE = { headMs: 15_000, wholeMs: 15_000, maxBytes: 16 * MIB }

/** Connects only when something is asked. */
export function createHttpTarget(options: HttpTargetOptions): HttpTarget {
  const { host, port, tokens, tls, runBy = 'others', clock = systemClock, turns, parseEvent } = options
  const address = `${isIPv6(host) ? `[${host}]` : host}:${port}`
  const connections = new PodConnections(address, tls)
  const choice = new TokensOfPod(tokens)
  let notAfter: string | undefined
  const line: Omit<Line, 'dispatcher'> = { address, runBy, notAfter: () => notAfter, clock, turns, parseEvent }

  /** @returns undefined for 304, which only a request with an etag may get */
  const call = async (request: Call, signal: AbortSignal) => {
    const all = choice.inOrder()
    for (const [index, token] of all.entries()) {
      const sent = { ...request, headers: { ...headersOf(token), ...request.headers } }
      const answer = await exchange({ ...line, dispatcher: connections.requests }, sent, signal)
      const { status, headers, body } = answer
      choice.ended(token, status)
      if (isRefused(status) && index < all.length - 1) continue
      if (status === 304 && request.headers['if-none-match'] !== undefined) return undefined
      if (status !== 200) throw refusalOf({ status, body, address, runBy, tokens: all })
      return { body, etag: single(headers.etag) }
    }
    throw unreachable(address, 'cannot be called: there is no token')
  }

  return {
    state: async (signal, etag) => {
      const headers = etag === undefined ? {} : { 'if-none-match': etag }
      const answer = await call({ method: 'GET', path: `${PATH}/state`, headers, ...STATE }, signal)
      if (answer === undefined) return { type: 'unchanged' }
      checkProtocol(answer.body, address)
      const state: RuntimeState = parsed(runtimeState, answer.body, address)
      notAfter = state.credentials?.certificate?.notAfter
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
      const all = choice.inOrder()
      const after = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
      const headers = { ...headersOf(all[0] ?? ''), accept: 'text/event-stream', ...after }
      const request = { path: `${PATH}/events`, headers, tokens: all }
      return readEvents({ ...line, dispatcher: connections.streams }, request, signal)
    },
    close: async () => {
      await connections.destroy(unreachable(address, 'is not called any more'))
    },
  }
}

type Call = Exchange & { readonly headers: { readonly 'if-none-match'?: string } }

const isRefused = (status: number): boolean => status === 401 || status === 403

/** Which token a pod is called with: what it refused comes last until it takes it again. */
class TokensOfPod {
  readonly #tokens: () => readonly string[]
  readonly #refused = new Set<string>()

  constructor(tokens: () => readonly string[]) {
    this.#tokens = tokens
  }

  inOrder(): readonly string[] {
    const all = this.#tokens()
    for (const token of this.#refused) if (!all.includes(token)) this.#refused.delete(token)
    if (all.length === 0) return ['']
    return all.toSorted((a, b) => Number(this.#refused.has(a)) - Number(this.#refused.has(b)))
  }

  ended(token: string, status: number): void {
    if (isRefused(status)) this.#refused.add(token)
    else this.#refused.delete(token)
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

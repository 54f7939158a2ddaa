import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Clock } from '../../clock.ts'
import type { Method, RestMetrics } from '../metrics/rest.ts'
import { ApiError } from '../types.ts'
import { MAX_REFUSAL_BYTES, readBody, unpacked } from './body.ts'
import { createDeadline } from './deadline.ts'
import { failureOf, refusalOf } from './failure.ts'
import type { Slot } from './lanes.ts'

/** A page of a list may be this long at most; an object is far below. */
const MAX_BODY_BYTES = 16 * 1024 * 1024

export type Attempt = {
  readonly method: Method
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** Where an attempt goes, and who counts it. */
export type Line = {
  readonly host: string
  readonly clock: Clock
  readonly metrics: RestMetrics | undefined
}

/**
 * One attempt at a request.
 * @returns the body of a 2xx answer
 * @throws ApiError; the signal's reason when it aborts
 */
export async function sendRequest(
  line: Line,
  dispatcher: Dispatcher,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<string> {
  return counted(line, attempt.method, signal, async () => {
    const { statusCode, headers, body } = await dispatcher.request({ ...attempt, signal })
    const isOk = statusCode >= 200 && statusCode < 300
    const bytes = unpacked(body, headers['content-encoding'])
    const text = await readBody(bytes, isOk ? MAX_BODY_BYTES : MAX_REFUSAL_BYTES)
    if (!isOk) throw refusalOf({ code: statusCode, retryAfter: single(headers['retry-after']), body: text })
    return { code: statusCode, result: text }
  })
}

/**
 * Begins a stream, which holds the slot until it ends.
 * @param signals end it; the time limit only until the first byte of the answer
 */
export async function openStream(
  line: Line,
  slot: Slot,
  { timeoutMs, ...attempt }: Attempt & { readonly timeoutMs: number },
  signals: readonly AbortSignal[],
): Promise<AsyncIterable<Uint8Array>> {
  const deadline = createDeadline(line.clock, timeoutMs, signals)
  const end = () => {
    deadline[Symbol.dispose]()
    slot.release()
  }
  try {
    const body = await counted(line, attempt.method, deadline.signal, async () => {
      const answer = await slot.dispatcher.request({ ...attempt, signal: deadline.signal })
      const bytes = unpacked(answer.body, answer.headers['content-encoding'])
      if (answer.statusCode !== 200) {
        const text = await readBody(bytes, MAX_REFUSAL_BYTES)
        const retryAfter = single(answer.headers['retry-after'])
        throw refusalOf({ code: answer.statusCode, retryAfter, body: text })
      }
      return { code: answer.statusCode, result: bytes }
    })
    deadline.lift()
    // Before anybody reads, the connection may end: that must be no unhandled error.
    body.on('error', ignore)
    body.once('close', end)
    return chunksOf(body, line.host, deadline.signal)
  } catch (error) {
    end()
    throw error
  }
}

async function* chunksOf(body: Readable, host: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* body as AsyncIterable<Uint8Array>
  } catch (error) {
    throw signal.aborted ? signal.reason : failureOf(error, host)
  } finally {
    body.destroy()
  }
}

async function counted<T>(
  { host, clock, metrics }: Line,
  method: Method,
  signal: AbortSignal,
  send: () => Promise<{ readonly code: number; readonly result: T }>,
): Promise<T> {
  const from = clock.monotonic()
  const count = (code: number) => metrics?.answered({ method, code, seconds: (clock.monotonic() - from) / 1000 })
  try {
    const { code, result } = await send()
    count(code)
    return result
  } catch (error) {
    count(error instanceof ApiError ? error.code : 0)
    if (signal.aborted) throw signal.reason
    throw isKnown(error) ? error : failureOf(error, host)
  }
}

/** What the connections have to see as it is. */
const isKnown = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ERR_NO_HTTP2'

const single = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header

const ignore = () => undefined

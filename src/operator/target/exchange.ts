import type { Dispatcher } from 'undici'
import { abandonOnAbort, type Clock, linkedTo } from '../../clock.ts'
import type { ParseEvent } from './event-parser.ts'
import { jsonOf } from './json.ts'
import { connectionFailure, type Told, tooSlow, unreachable } from './refusal.ts'
import type { Turns } from './turns.ts'

/** One pod, as requests need it. */
export type Line = Told & {
  readonly dispatcher: Dispatcher
  readonly clock: Clock
  readonly turns: Turns
  readonly parseEvent: ParseEvent
}

export type Exchange = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Until the head of the answer, in milliseconds. */
  readonly headMs: number
  /** Until the end of the answer, in milliseconds. */
  readonly wholeMs: number
  readonly maxBytes: number
}

/** `body` is undefined when it is no JSON. */
export type Answer = {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly body: unknown
}

/** A refusal says what it says in less than this. */
const MAX_REFUSAL_BYTES = 64 * 1024
/** What is longer waits for its turn: to parse and check it takes a millisecond or more. */
const LONG_BYTES = 32 * 1024

/**
 * One request and the whole of its answer, whatever its status. No redirect is followed.
 * @throws ProblemError RuntimeUnreachable; the signal's reason when it aborts
 */
export async function exchange(line: Line, request: Exchange, signal: AbortSignal): Promise<Answer> {
  const { method, path, headers, body: sent, headMs, wholeMs, maxBytes } = request
  const { address, clock } = line
  const linked = linkedTo(signal)
  const limit = (ms: number, what: string) => clock.timer(ms, () => linked.abort(tooSlow(address, what)))
  const timers = [
    limit(headMs, `did not answer within ${headMs} ms`),
    limit(wholeMs, `took over ${wholeMs} ms to answer`),
  ]
  try {
    const options = { method, path, headers, signal: linked.signal, ...(sent === undefined ? {} : { body: sent }) }
    // Undici looks at the signal, but not while it waits for a connection that is being made.
    const {
      statusCode,
      headers: received,
      body,
    } = await abandonOnAbort(line.dispatcher.request(options), linked.signal)
    timers[0]?.cancel()
    const isOk = statusCode === 200
    const chunks = await readChunks(body, isOk ? maxBytes : MAX_REFUSAL_BYTES, address)
    for (const timer of timers) timer.cancel()
    if (isOk && !isJson(received)) throw unreachable(address, 'answers something else than JSON')
    if (lengthOf(chunks) > LONG_BYTES) await abandonOnAbort(line.turns(), linked.signal)
    return { status: statusCode, headers: received, body: jsonOf(Buffer.concat(chunks).toString()) }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw linked.signal.aborted ? linked.signal.reason : connectionFailure(error, line)
  } finally {
    for (const timer of timers) timer.cancel()
    linked.release()
  }
}

async function readChunks(
  body: Dispatcher.ResponseData['body'],
  maxBytes: number,
  address: string,
): Promise<readonly Uint8Array[]> {
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop early ends the answer, and with it the connection.
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > maxBytes) throw unreachable(address, `answers with more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return chunks
}

const lengthOf = (chunks: readonly Uint8Array[]): number => chunks.reduce((sum, { length }) => sum + length, 0)

const isJson = (headers: Answer['headers']): boolean => /^application\/json\b/i.test(String(headers['content-type']))

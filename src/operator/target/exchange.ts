import type { Dispatcher } from 'undici'
import { abandonOnAbort, type Clock, linkedTo } from '../../clock.ts'
import { jsonOf } from './json.ts'
import { connectionFailure, unreachable } from './refusal.ts'

/** One pod, as requests need it. */
export type Line = { readonly dispatcher: Dispatcher; readonly address: string; readonly clock: Clock }

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

/**
 * One request and the whole of its answer, whatever its status. No redirect is followed.
 * @throws ProblemError RuntimeUnreachable; the signal's reason when it aborts
 */
export async function exchange(line: Line, request: Exchange, signal: AbortSignal): Promise<Answer> {
  const { method, path, headers, body: sent, headMs, wholeMs, maxBytes } = request
  const { address, clock } = line
  const linked = linkedTo(signal)
  const limit = (ms: number, what: string) => clock.timer(ms, () => linked.abort(unreachable(address, what)))
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
    const text = await readText(body, isOk ? maxBytes : MAX_REFUSAL_BYTES, address)
    if (isOk && !isJson(received)) throw unreachable(address, 'answers something else than JSON')
    return { status: statusCode, headers: received, body: jsonOf(text) }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw linked.signal.aborted ? linked.signal.reason : connectionFailure(error, address)
  } finally {
    for (const timer of timers) timer.cancel()
    linked.release()
  }
}

async function readText(body: Dispatcher.ResponseData['body'], maxBytes: number, address: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop early ends the answer, and with it the connection.
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > maxBytes) throw unreachable(address, `answers with more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

const isJson = (headers: Answer['headers']): boolean => /^application\/json\b/i.test(String(headers['content-type']))

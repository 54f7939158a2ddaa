import { createParser } from 'eventsource-parser'
import type { Dispatcher } from 'undici'
import type { HeardEvent } from '../../api/index.ts'
import { abandonOnAbort, linkedTo } from '../../clock.ts'
import type { Line } from './exchange.ts'
import { connectionFailure, refusalOf, unreachable } from './refusal.ts'

export type StreamRequest = {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** What the pod may be called with, of which `headers` holds one. */
  readonly tokens: readonly string[]
}

/** Until the head of the answer, in milliseconds. */
const OPEN_MS = 2000
/** A runtime sends something every 5 s at least: two heartbeats were lost. */
const IDLE_MS = 12_000
/** Longest event, in characters. */
const MAX_EVENT = 4 * 1024 * 1024

/**
 * The events of one pod, until the signal aborts or the pod ends them.
 * @throws ProblemError RuntimeUnreachable, also when the stream breaks off or falls silent; Unauthorized
 */
export async function* readEvents(line: Line, request: StreamRequest, signal: AbortSignal): AsyncGenerator<HeardEvent> {
  const { address, clock } = line
  const linked = linkedTo(signal)
  const limit = (ms: number, what: string) => clock.timer(ms, () => linked.abort(unreachable(address, what)))
  const opening = limit(OPEN_MS, `began no event stream within ${OPEN_MS} ms`)
  const silence = limit(IDLE_MS, `sent no event and no heartbeat for ${IDLE_MS} ms`)
  try {
    const body = await openStream(line, request, linked.signal)
    opening.cancel()
    const feed = eventReader(line)
    const decoder = new TextDecoder()
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      silence.refresh()
      yield* feed(decoder.decode(chunk, { stream: true }))
    }
  } catch (error) {
    if (signal.aborted) return
    throw linked.signal.aborted ? linked.signal.reason : connectionFailure(error, line)
  } finally {
    opening.cancel()
    silence.cancel()
    linked.release()
  }
}

async function openStream(
  { dispatcher, address, runBy }: Line,
  { path, headers, tokens }: StreamRequest,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData['body']> {
  const answer = await abandonOnAbort(dispatcher.request({ method: 'GET', path, headers, signal }), signal)
  const { statusCode: status, body } = answer
  const isStream = /^text\/event-stream\b/i.test(String(answer.headers['content-type']))
  if (status === 200 && isStream) return body
  body.on('error', ignore).destroy()
  if (status !== 200) throw refusalOf({ status, body: undefined, address, runBy, tokens })
  throw unreachable(address, 'answers something else than an event stream')
}

/** Takes text as it comes and gives the events that it completes. @throws ProblemError RuntimeUnreachable */
function eventReader({ address, parseEvent }: Line): (text: string) => HeardEvent[] {
  let events: HeardEvent[] = []
  const parser = createParser({
    maxBufferSize: MAX_EVENT,
    onEvent: ({ data }) => {
      const event = parseEvent(data)
      if (event === undefined) throw unreachable(address, 'sent an event that is none of the management protocol')
      events.push(event)
    },
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') {
        throw unreachable(address, `sent an event of more than ${MAX_EVENT} characters`)
      }
    },
  })
  return (text) => {
    parser.feed(text)
    const complete = events
    events = []
    return complete
  }
}

const ignore = () => undefined

import { createParser } from 'eventsource-parser'
import { type Dispatcher, Pool } from 'undici'
import { tokenIdOf } from '../../api/index.ts'

export type Endpoint = {
  /** Where the management protocol is served: `http://127.0.0.1:7778`. */
  readonly url: string
  readonly token: string
  /** Certificate authorities in PEM; absent for those that Node trusts. */
  readonly ca?: string | undefined
  /** The name in the certificate, where it is not the one in the URL. */
  readonly serverName?: string | undefined
}

export type Call = {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Another token than the right one; null for none. */
  readonly token?: string | null
}

export type Answer = {
  readonly status: number
  readonly header: (name: string) => string | undefined
  /** The JSON of the body; undefined when it is none. */
  readonly body: unknown
  readonly text: string
}

/** One frame of an event stream. `data` is the JSON of its data; undefined when it is none. */
export type Frame =
  | { readonly type: 'event'; readonly id: string; readonly event: string; readonly data: unknown }
  | { readonly type: 'comment' }

/** The endpoint over plain HTTP, with nothing taken for granted. */
export interface EndpointClient {
  /** Of the token that calls present. */
  readonly tokenId: string
  /** Whatever the status. @throws when there is no whole answer within 30 s */
  call(request: Call): Promise<Answer>
  /** Frames until the signal aborts or the stream ends. Resolves once the stream has begun, with its status. */
  stream(
    lastEventId: string | undefined,
    signal: AbortSignal,
  ): Promise<{ status: number; frames: AsyncIterable<Frame> }>
  close(): Promise<void>
}

/** Longest wait for an answer, in milliseconds. */
const ANSWER_MS = 30_000

export function connectTo({ url, token, ca, serverName }: Endpoint): EndpointClient {
  const connect = { ...(ca !== undefined && { ca }), ...(serverName !== undefined && { servername: serverName }) }
  const pool = new Pool(new URL(url).origin, { connect, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS })
  const headersFor = (given: string | null | undefined): Record<string, string> =>
    given === null ? {} : { authorization: `Bearer ${given ?? token}` }
  return {
    tokenId: tokenIdOf(token),
    call: async ({ method = 'GET', path, headers, body, token: given }) => {
      const answer = await pool.request({
        method,
        path,
        headers: { ...headersFor(given), ...headers },
        ...(body !== undefined && { body }),
        signal: AbortSignal.timeout(ANSWER_MS),
      })
      const text = await answer.body.text()
      return { status: answer.statusCode, header: headerOf(answer.headers), body: jsonOf(text), text }
    },
    stream: async (lastEventId, signal) => {
      const after = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
      const headers = { ...headersFor(undefined), accept: 'text/event-stream', ...after }
      const request = { method: 'GET', path: '/management/v1/events', headers, signal } as const
      const { statusCode, body } = await pool.request(request)
      return { status: statusCode, frames: framesOf(body, signal) }
    },
    close: () => pool.destroy(),
  }
}

const headerOf =
  (headers: Dispatcher.ResponseData['headers']) =>
  (name: string): string | undefined => {
    const value = headers[name]
    return Array.isArray(value) ? value[0] : value
  }

async function* framesOf(body: Dispatcher.ResponseData['body'], signal: AbortSignal): AsyncGenerator<Frame> {
  const frames: Frame[] = []
  const parser = createParser({
    onEvent: ({ id = '', event = '', data }) => frames.push({ type: 'event', id, event, data: jsonOf(data) }),
    onComment: () => frames.push({ type: 'comment' }),
  })
  const decoder = new TextDecoder()
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      parser.feed(decoder.decode(chunk, { stream: true }))
      yield* frames.splice(0)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

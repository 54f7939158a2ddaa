import { gzipSync } from 'node:zlib'

export type Headers = Readonly<Record<string, string>>

/** What a stream does after its last piece: a proper end, the connection cut, or nothing for ever. */
export type StreamEnd = 'end' | 'cut' | 'hang'

/** How a fake API server treats one request. */
export type FakeAnswer =
  | { readonly type: 'reply'; readonly status: number; readonly headers: Headers; readonly body: Uint8Array }
  | {
      readonly type: 'stream'
      readonly status: number
      readonly headers: Headers
      /** Each is written by itself, so that the client reads it by itself. */
      readonly pieces: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>
      readonly after: StreamEnd
      /** Compress, flushed after every piece. */
      readonly gzip: boolean
    }
  /** The request is read and never answered. */
  | { readonly type: 'hang' }
  /** The connection is cut before a byte of an answer. */
  | { readonly type: 'cut' }

const JSON_TYPE = { 'content-type': 'application/json' }

export const hang = (): FakeAnswer => ({ type: 'hang' })
export const cut = (): FakeAnswer => ({ type: 'cut' })

/** A whole JSON answer. */
export function json(
  body: unknown,
  { status = 200, headers = {}, gzip = false }: { status?: number; headers?: Headers; gzip?: boolean } = {},
): FakeAnswer {
  const text = Buffer.from(JSON.stringify(body))
  const encoding = gzip ? { 'content-encoding': 'gzip' } : {}
  return {
    type: 'reply',
    status,
    headers: { ...JSON_TYPE, ...encoding, ...headers },
    body: gzip ? gzipSync(text) : text,
  }
}

/** A whole answer of any text or bytes: garbage, a proxy's HTML page. */
export const raw = (body: string | Uint8Array, { status = 200, headers = {} as Headers } = {}): FakeAnswer => ({
  type: 'reply',
  status,
  headers,
  body: Buffer.from(body),
})

/** The object that says what became of a request, as Kubernetes writes it. */
export const statusObject = (code: number, reason: string, message: string) => ({
  ...{ apiVersion: 'v1', kind: 'Status', metadata: {}, status: 'Failure' },
  ...{ message, reason, code },
})

/** A refusal with a Status body. */
export const failure = (code: number, reason: string, message = reason, headers: Headers = {}): FakeAnswer =>
  json(statusObject(code, reason, message), { status: code, headers })

/** 429 with Retry-After in seconds. */
export const tooManyRequests = (seconds: number): FakeAnswer =>
  failure(429, 'TooManyRequests', 'please try again later', { 'retry-after': String(seconds) })

const TOO_OLD = 'too old resource version: 1 (2)'

/** 410 as the answer's own status: a list's, and a watch's through etcd. */
export const expired = (): FakeAnswer => failure(410, 'Expired', TOO_OLD)

export type FakeWatchType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'

/** One line of a watch. */
export const watchLine = (type: FakeWatchType, object: object): string => `${JSON.stringify({ type, object })}\n`

/** 410 inside a watch that was answered with 200: what the watch cache says. */
export const expiredLine = (): string => watchLine('ERROR', statusObject(410, 'Expired', TOO_OLD))

/** An answer in pieces. `after` is `end` unless said. */
export const stream = (
  pieces: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
  {
    after = 'end',
    status = 200,
    headers = JSON_TYPE,
    gzip = false,
  }: {
    after?: StreamEnd
    status?: number
    headers?: Headers
    gzip?: boolean
  } = {},
): FakeAnswer => ({ type: 'stream', pieces, after, status, headers, gzip })

/** One byte every `everyMs` milliseconds. */
export async function* drip(text: string, everyMs: number): AsyncGenerator<Uint8Array> {
  for (const byte of Buffer.from(text)) {
    yield Uint8Array.of(byte)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

/**
 * The text as two pieces, the first of which ends after the first byte of the character's first occurrence.
 * @throws Error for a character that is not in the text or is a single byte
 */
export function splitInside(text: string, character: string): [Uint8Array, Uint8Array] {
  const at = text.indexOf(character)
  if (at < 0 || Buffer.byteLength(character) < 2) throw new Error(`nothing to split in ${character}`)
  const bytes = Buffer.from(text)
  const middle = Buffer.byteLength(text.slice(0, at)) + 1
  return [bytes.subarray(0, middle), bytes.subarray(middle)]
}

/** Pieces that a test gives while the request runs. For one request. */
export interface Feed extends AsyncIterable<string | Uint8Array> {
  send(piece: string | Uint8Array): void
  /** What the answer's `after` says. */
  end(): void
}

export function createFeed(): Feed {
  const pieces: (string | Uint8Array)[] = []
  let state: 'open' | 'ended' = 'open'
  let wake = () => {}
  return {
    send: (piece) => {
      pieces.push(piece)
      wake()
    },
    end: () => {
      state = 'ended'
      wake()
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const piece = pieces.shift()
        if (piece !== undefined) yield piece
        else if (state === 'ended') return
        else {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      }
    },
  }
}

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { constants, createSecureServer, type Http2ServerRequest, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGzip, constants as zlib } from 'node:zlib'
import { type FakeAnswer, failure } from './fake-answers.ts'
import { createAuthority } from './pki.ts'
import { until } from './until.ts'

/** A request as it arrived; `body` is complete when it is recorded. */
export type RecordedRequest = {
  readonly at: number
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly httpVersion: '1.1' | '2.0'
}

/** Matches the path without its query: a whole path, or a pattern. */
export type PathPattern = string | RegExp

/** An API server that answers what a test tells it to. */
export interface FakeApiServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Of its certificate; undefined over plain HTTP. */
  readonly caFile: string | undefined
  /** In the order of their arrival. */
  readonly requests: readonly RecordedRequest[]
  /** TCP connections that are open now. */
  readonly connections: number
  /** The next requests that match get these answers, one each and in this order, after what was scripted before. */
  script(method: string, path: PathPattern, ...answers: readonly FakeAnswer[]): void
  /** Requests that match and have no scripted answer left get this one. The latest call wins. */
  always(method: string, path: PathPattern, answer: (request: RecordedRequest) => FakeAnswer): void
  /** The `count`th request that matches, as soon as it is there. @throws Error after 15 s */
  received(method: string, path: PathPattern, count?: number): Promise<RecordedRequest>
}

type Request = IncomingMessage | Http2ServerRequest
/** Node's HTTP/2 answers have all that is used of HTTP/1.1's, and their stream. */
type Response = ServerResponse & { readonly stream?: ServerHttp2Stream }
type Rule = { readonly method: string; readonly path: PathPattern }

const matches = (request: RecordedRequest, { method, path }: Rule): boolean =>
  request.method === method && (typeof path === 'string' ? path === request.path : path.test(request.path))

/**
 * Over TLS it speaks HTTP/2 and HTTP/1.1, as the client chooses; with `tls: false` HTTP/1.1 alone. A request that
 * nothing was scripted for is answered 501, with a message that says so.
 */
export async function startFakeApiServer({ tls = true }: { tls?: boolean } = {}): Promise<FakeApiServer> {
  const requests: RecordedRequest[] = []
  const scripted: (Rule & { readonly answer: FakeAnswer })[] = []
  const lasting: (Rule & { readonly answer: (request: RecordedRequest) => FakeAnswer })[] = []
  const sockets = new Set<Socket>()
  const stopping = new AbortController()

  const answerTo = (request: RecordedRequest): FakeAnswer => {
    const next = scripted.findIndex((each) => matches(request, each))
    const [rule] = next < 0 ? [] : scripted.splice(next, 1)
    const known = rule?.answer ?? lasting.findLast((each) => matches(request, each))?.answer(request)
    return known ?? failure(501, 'NotScripted', `the test scripted nothing for ${request.method} ${request.path}`)
  }
  const handle = async (request: Request, response: Response) => {
    response.on('error', () => undefined)
    const recorded = await record(request)
    requests.push(recorded)
    await give(answerTo(recorded), response, stopping.signal)
  }
  const listener = (request: Request, response: Response) => {
    // A client that goes away in the middle of its request is nothing to answer.
    handle(request, response).catch(() => abort(response))
  }
  const { server, caFile } = tls ? await secureServer(listener) : { server: createServer(listener), caFile: undefined }
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  })
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(0, '127.0.0.1', resolve)
  await listening
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    caFile,
    requests,
    get connections() {
      return sockets.size
    },
    script: (method, path, ...answers) => {
      for (const answer of answers) scripted.push({ method, path, answer })
    },
    always: (method, path, answer) => {
      lasting.push({ method, path, answer })
    },
    received: (method, path, count = 1) =>
      until(`request ${count} of ${method} ${path}`, () => {
        return requests.filter((request) => matches(request, { method, path }))[count - 1]
      }),
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      server.close()
      for (const socket of sockets) socket.destroy()
      if (caFile !== undefined) await rm(join(caFile, '..'), { recursive: true, force: true })
    },
  }
}

async function secureServer(listener: (request: Request, response: Response) => void) {
  const authority = await createAuthority(await mkdtemp(join(tmpdir(), 'midflight-fake-api-')))
  const { certFile, keyFile } = await authority.server('fake-api')
  const files = { cert: readFileSync(certFile), key: readFileSync(keyFile) }
  const server = createSecureServer({ ...files, allowHTTP1: true }, (request, response) => {
    listener(request, response as unknown as Response)
  })
  return { server, caFile: authority.caFile }
}

async function record(request: Request): Promise<RecordedRequest> {
  const at = performance.now()
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(Buffer.from(piece))
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake')
  return {
    at,
    method: request.method ?? '',
    path: pathname,
    query: searchParams,
    headers: request.headers,
    body: Buffer.concat(pieces).toString(),
    httpVersion: request.httpVersion === '2.0' ? '2.0' : '1.1',
  }
}

async function give(answer: FakeAnswer, response: Response, signal: AbortSignal): Promise<void> {
  switch (answer.type) {
    case 'reply':
      response.writeHead(answer.status, answer.headers)
      response.end(answer.body)
      return
    case 'stream':
      return giveStream(answer, response, signal)
    case 'hang':
      return
    case 'cut':
      return abort(response)
  }
}

async function giveStream(
  { status, headers, pieces, after, gzip }: Extract<FakeAnswer, { type: 'stream' }>,
  response: Response,
  signal: AbortSignal,
): Promise<void> {
  response.writeHead(status, gzip ? { ...headers, 'content-encoding': 'gzip' } : headers)
  response.flushHeaders()
  const encoder = gzip ? createEncoder() : PLAIN
  for await (const piece of pieces) {
    if (signal.aborted || response.destroyed) return
    await written(response, await encoder.piece(Buffer.from(piece)))
  }
  if (after === 'end') response.end(await encoder.rest())
  if (after === 'cut') abort(response)
}

const written = (response: Response, bytes: Uint8Array): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  // A response that is gone may never call back.
  response.once('close', resolve)
  response.write(bytes, () => {
    response.off('close', resolve)
    resolve()
  })
  return promise
}

/** Cuts the whole connection over HTTP/1.1; over HTTP/2 only the request's stream, as a proxy would. */
function abort(response: Response): void {
  if (response.stream) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else response.destroy()
}

type Encoder = { piece(bytes: Uint8Array): Promise<Uint8Array>; rest(): Promise<Uint8Array> }

const PLAIN: Encoder = { piece: async (bytes) => bytes, rest: async () => new Uint8Array() }

/** Every piece comes out whole, as from a server that flushes after each event. */
function createEncoder(): Encoder {
  const gzip = createGzip()
  const out: Buffer[] = []
  gzip.on('data', (piece: Buffer) => out.push(piece))
  const taken = () => Buffer.concat(out.splice(0))
  return {
    piece: async (bytes) => {
      gzip.write(bytes)
      await new Promise<void>((resolve) => gzip.flush(zlib.Z_SYNC_FLUSH, resolve))
      return taken()
    },
    rest: async () => {
      const ended = once(gzip, 'end')
      gzip.end()
      await ended
      return taken()
    },
  }
}

import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { applyRequest, ProblemError, REASONS } from '../../api/index.ts'
import type { FakeRuntime } from '../pods/fake-runtime.fixture.ts'

export type FakeServer = AsyncDisposable & { readonly port: number; readonly connections: () => number }

/** Serves on a free port of this machine until disposed. */
export async function listen(
  listener: RequestListener,
  tls?: { readonly key: string; readonly cert: string },
): Promise<FakeServer> {
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  let connections = 0
  server.on(tls === undefined ? 'connection' : 'secureConnection', () => {
    connections += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The management protocol of a fake runtime. */
export const managementOf =
  (runtime: FakeRuntime, token: string): RequestListener =>
  (req, res) => {
    if (req.headers.authorization !== `Bearer ${token}`)
      return answer(res, 401, { reason: 'Unauthorized', message: 'no' })
    const handler = HANDLERS[`${req.method} ${req.url}`]
    if (handler === undefined) return answer(res, 404, { reason: 'InvalidArguments', message: 'nothing' })
    handler(runtime, req, res).catch((error: unknown) => {
      if (!(error instanceof ProblemError)) return answer(res, 500, { reason: 'RuntimeUnreachable', message: 'failed' })
      answer(res, REASONS[error.problem.reason].status, error.problem)
    })
  }

type Handler = (runtime: FakeRuntime, req: IncomingMessage, res: ServerResponse) => Promise<void>

const HANDLERS: Readonly<Record<string, Handler>> = {
  'GET /management/v1/state': async (runtime, req, res) => {
    const state = await runtime.state(AbortSignal.abort(), single(req.headers['if-none-match']))
    if (state.type === 'unchanged') res.writeHead(304).end()
    else answer(res, 200, state.state, { etag: state.etag ?? '' })
  },
  'POST /management/v1/apply': async (runtime, req, res) => {
    answer(res, 200, await runtime.apply(applyRequest.parse(await json(req))))
  },
  'GET /management/v1/events': async (runtime, req, res) => {
    const closed = new AbortController()
    res.once('close', () => closed.abort())
    res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    res.write(': heartbeat\n\n')
    for await (const event of runtime.events(closed.signal, single(req.headers['last-event-id']))) {
      res.write(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    }
    res.end()
  },
}

export function answer(res: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

const single = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header

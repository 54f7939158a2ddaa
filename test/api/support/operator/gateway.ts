import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { ClusterConfig } from '../../../../src/kube/index.ts'
import type { Cluster } from '../../harness/index.ts'

/** A request of the operator, before the API server sees it. */
export type GatewayRequest = {
  readonly method: string
  /** Without its query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly body: string
}

/** What becomes of a request. */
export type Fate =
  | { readonly type: 'pass' }
  /** The API server does not see it. */
  | {
      readonly type: 'answer'
      readonly status: number
      readonly body: object
      readonly headers?: Readonly<Record<string, string>>
    }
  /** The connection breaks before the API server sees it. */
  | { readonly type: 'cut' }
  /** The API server does what it asks for, and the connection breaks before the answer. `whenDone` is called in between. */
  | { readonly type: 'lose'; readonly whenDone?: () => void }

/** Stands between an operator and a real API server, and knows their requests one by one. */
export interface Gateway extends AsyncDisposable {
  /** Reaches the API server through here; over HTTP. */
  readonly config: ClusterConfig
  /** Everything that arrived, oldest first. */
  readonly requests: readonly GatewayRequest[]
  /** Decides the fate of every request from now on. Absent: all pass. */
  decide(fate?: (request: GatewayRequest) => Fate | Promise<Fate>): void
  /** Nothing comes through any more on the watches of a resource, by its plural. */
  hold(plural: string): void
  /** What was held back arrives. */
  release(plural: string): void
  /** Everything that came on the open watches of a resource comes once more, in the same order. @returns how many lines */
  replay(plural: string): number
  /** The process behind its connections is dead: all are cut, and nobody answers any more. */
  kill(): void
}

export const PASS: Fate = { type: 'pass' }

/** The API server's own form of a refusal. */
export const refusal = (
  status: number,
  reason: string,
  headers: Readonly<Record<string, string>> = {},
): Extract<Fate, { type: 'answer' }> => ({
  type: 'answer',
  status,
  headers,
  body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: status, reason, message: `told to say ${reason}` },
})

/** @param token of whom the API server sees; the administrator's when absent */
export async function startGateway(cluster: Cluster, token = cluster.token): Promise<Gateway> {
  const agent = new Agent({ keepAlive: true })
  const ca = readFileSync(cluster.caFile)
  const requests: GatewayRequest[] = []
  const watches = new Set<Watch>()
  const sockets = new Set<Socket>()
  const held = new Set<string>()
  let decide: (request: GatewayRequest) => Fate | Promise<Fate> = () => PASS

  const forward = (incoming: IncomingMessage, body: string) => {
    const { host: _, connection: __, ...headers } = incoming.headers
    const { method, url: path } = incoming
    const sent = httpsRequest({
      ...{ host: '127.0.0.1', port: cluster.port, ca, agent, method, path },
      headers: { ...headers, authorization: `Bearer ${token}` },
    })
    sent.end(body)
    return sent
  }
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const body = await textOf(incoming)
    const { pathname: path, searchParams: query } = new URL(incoming.url ?? '/', 'http://gateway')
    const request = { method: incoming.method ?? '', path, query, body }
    requests.push(request)
    const fate = await decide(request)
    if (fate.type === 'cut') return void outgoing.destroy()
    if (fate.type === 'answer') {
      outgoing.writeHead(fate.status, { 'content-type': 'application/json', ...fate.headers })
      return void outgoing.end(JSON.stringify(fate.body))
    }
    const sent = forward(incoming, body)
    outgoing.once('close', () => sent.destroy())
    sent.once('error', () => outgoing.destroy())
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    if (fate.type === 'lose') {
      fate.whenDone?.()
      return void outgoing.destroy()
    }
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.once('error', () => outgoing.destroy())
    if (query.get('watch') !== 'true') return void answer.pipe(outgoing)
    outgoing.flushHeaders()
    const watch = createWatch(outgoing, pluralOf(path), (plural) => held.has(plural))
    watches.add(watch)
    outgoing.once('close', () => watches.delete(watch))
    answer.on('data', watch.take).once('end', () => outgoing.end())
  }
  const server = createServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const of = (plural: string) => [...watches].filter((watch) => watch.plural === plural)
  const kill = () => {
    server.close()
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    config: {
      server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: { type: 'anonymous' },
    },
    requests,
    decide: (fate = () => PASS) => {
      decide = fate
    },
    hold: (plural) => void held.add(plural),
    release: (plural) => {
      held.delete(plural)
      for (const watch of of(plural)) watch.flush()
    },
    replay: (plural) => of(plural).reduce((lines, watch) => lines + watch.replay(), 0),
    kill,
    [Symbol.asyncDispose]: async () => {
      kill()
      agent.destroy()
    },
  }
}

/** One open watch. */
type Watch = {
  readonly plural: string
  readonly take: (chunk: Buffer) => void
  flush(): void
  replay(): number
}

function createWatch(to: ServerResponse, plural: string, isHeld: (plural: string) => boolean): Watch {
  const passed: Buffer[] = []
  const waiting: Buffer[] = []
  const pass = (chunk: Buffer) => {
    passed.push(chunk)
    to.write(chunk)
  }
  return {
    plural,
    take: (chunk) => {
      if (isHeld(plural)) waiting.push(chunk)
      else pass(chunk)
    },
    flush: () => {
      for (const chunk of waiting.splice(0)) pass(chunk)
    },
    replay: () => {
      const text = Buffer.concat(passed).toString()
      // The rest of a line that is under way would break it.
      const whole = text.slice(0, text.lastIndexOf('\n') + 1)
      if (whole.length === text.length) to.write(whole)
      return whole.length === text.length ? whole.split('\n').length - 1 : 0
    },
  }
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** `agents` of a list, a watch, an object or its status. */
export function pluralOf(path: string): string {
  const parts = path.split('/').slice(path.startsWith('/api/') ? 3 : 4)
  return (parts[0] === 'namespaces' && parts.length > 2 ? parts[2] : parts[0]) ?? ''
}

/** Writes of the operator, but for its Lease and its Events. */
export const isWrite = ({ method, path }: GatewayRequest): boolean =>
  method !== 'GET' && !['leases', 'events'].includes(pluralOf(path))

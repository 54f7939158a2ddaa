import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'
import type { Certificate } from './pki.ts'
import { createRelay, type Relay, type RelayObserver } from './proxy/relay.ts'

export type FaultProxyOptions = {
  /** Default 127.0.0.1. */
  readonly host?: string
  readonly port: number
  /**
   * Ends the client's TLS here and opens another to the server, so that bytes are those of HTTP: a response can be
   * cut in the middle of a line. Both sides speak the protocol that the client chose (h2 or http/1.1). A client
   * certificate does not reach the server. Absent: TLS passes through.
   */
  readonly tls?: { readonly certificate: Certificate; readonly serverCaFile: string }
}

/** Stands between a client and a server, and does to their connections what networks do. On 127.0.0.1. */
export interface FaultProxy extends AsyncDisposable {
  readonly port: number
  /** Open now. */
  readonly connections: number
  /** Accepted since the start. */
  readonly accepted: number
  /** Passed on since the start, from clients to the server and back. */
  readonly bytes: { readonly toServer: number; readonly toClient: number }
  /** No byte moves any more, and connections stay open; new ones are accepted and get no answer. */
  freeze(): void
  /** What was held back moves on. */
  thaw(): void
  /** Ends all open connections by RST, on both sides. */
  reset(): void
  /** New connections are refused, as where no process listens; open ones live on. */
  refuse(): void
  /** Ends `refuse`; the port is the same. */
  accept(): Promise<void>
  /** Bytes arrive this many milliseconds later, in both directions and without a bound on how many are under way. */
  delay(ms: number): void
  /** The server's side of all open connections ends (FIN); what clients send still arrives. */
  halfClose(): void
  /** Every connection that is open now passes on this many bytes more from the server, and is then closed. */
  truncateAfter(bytes: number): void
}

const HOST = '127.0.0.1'

/** @throws Error where it cannot listen */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const relays = new Set<Relay>()
  const sockets = new Set<Socket>()
  const state = { flow: 'flowing' as 'flowing' | 'frozen', delayMs: 0, accepted: 0 }
  const bytes = { toServer: 0, toClient: 0 }
  const waiting = new Set<Socket>()

  const open = (client: Socket) => {
    const relay = connectBoth(client, options, {
      delayMs: () => state.delayMs,
      passed: (direction, count) => {
        bytes[direction] += count
      },
      closed: () => relays.delete(relay),
    })
    relays.add(relay)
  }
  const onConnection = (client: Socket) => {
    state.accepted += 1
    sockets.add(client)
    client.once('close', () => {
      sockets.delete(client)
      waiting.delete(client)
    })
    client.on('error', () => undefined)
    // Nothing is read before it thaws, not even the TLS greeting.
    if (state.flow === 'frozen') waiting.add(client)
    else open(client)
  }
  let server = await listen(0, onConnection)
  const { port } = server.address() as AddressInfo
  return {
    port,
    bytes,
    get connections() {
      return sockets.size
    },
    get accepted() {
      return state.accepted
    },
    freeze: () => {
      state.flow = 'frozen'
      for (const relay of relays) relay.freeze()
    },
    thaw: () => {
      state.flow = 'flowing'
      for (const relay of relays) relay.thaw()
      for (const client of waiting) open(client)
      waiting.clear()
    },
    reset: () => {
      for (const relay of relays) relay.reset()
      for (const client of sockets) client.resetAndDestroy()
    },
    refuse: () => {
      server.close()
    },
    accept: async () => {
      if (!server.listening) server = await listen(port, onConnection)
    },
    delay: (ms) => {
      state.delayMs = ms
    },
    halfClose: () => {
      for (const relay of relays) relay.halfClose()
    },
    truncateAfter: (count) => {
      for (const relay of relays) relay.truncateAfter(count)
    },
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const relay of relays) relay.reset()
      for (const client of sockets) client.destroy()
    },
  }
}

async function listen(port: number, onConnection: (client: Socket) => void): Promise<Server> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, onConnection)
  server.once('error', reject).listen(port, HOST, resolve)
  await promise
  return server
}

function connectBoth(client: Socket, { host = HOST, port, tls }: FaultProxyOptions, observer: RelayObserver): Relay {
  const server = connect({ host, port, allowHalfOpen: true, noDelay: true })
  const relay = createRelay([client, server], observer)
  if (tls === undefined) relay.connect(client, server)
  else connectDecrypted(relay, { client, server }, tls)
  return relay
}

function connectDecrypted(
  relay: Relay,
  { client, server }: { client: Socket; server: Socket },
  { certificate, serverCaFile }: NonNullable<FaultProxyOptions['tls']>,
): void {
  const fromClient = new TLSSocket(client, {
    isServer: true,
    cert: readFileSync(certificate.certFile),
    key: readFileSync(certificate.keyFile),
    ALPNProtocols: ['h2', 'http/1.1'],
  })
  // The TCP socket closes with it, and the relay sees that.
  fromClient.on('error', () => undefined)
  fromClient.once('secure', () => {
    const ALPNProtocols = [fromClient.alpnProtocol || 'http/1.1']
    const toServer = connectTls({ socket: server, host: HOST, ca: readFileSync(serverCaFile), ALPNProtocols })
    toServer.on('error', () => undefined)
    relay.connect(fromClient, toServer)
  })
}

import type { Socket } from 'node:net'
import { createStream, type Stream } from './stream.ts'

export type Direction = 'toServer' | 'toClient'

/** Both TCP connections of a client and what flows between them. */
export interface Relay {
  /** Lets bytes flow, between the TCP sockets themselves or what decrypts them. Once. */
  connect(client: Socket, server: Socket): void
  freeze(): void
  thaw(): void
  reset(): void
  halfClose(): void
  truncateAfter(bytes: number): void
}

export type RelayObserver = {
  readonly delayMs: () => number
  readonly passed: (direction: Direction, bytes: number) => void
  readonly closed: () => void
}

/** When one of the TCP sockets is gone the other goes too. */
export function createRelay(tcp: readonly [client: Socket, server: Socket], observer: RelayObserver): Relay {
  const streams = new Map<Direction, Stream>()
  let isFrozen = false
  const close = () => {
    for (const stream of streams.values()) stream.stop()
    for (const socket of tcp) socket.destroy()
    observer.closed()
  }
  const flow = (direction: Direction, from: Socket, to: Socket) => {
    const passed = (bytes: number) => observer.passed(direction, bytes)
    const stream = createStream(from, to, { delayMs: observer.delayMs, passed, cut: close })
    if (isFrozen) stream.freeze()
    streams.set(direction, stream)
  }
  for (const socket of tcp) {
    // An error is always followed by a close.
    socket.on('error', () => undefined)
    socket.once('close', close)
  }
  return {
    connect: (client, server) => {
      flow('toServer', client, server)
      flow('toClient', server, client)
    },
    freeze: () => {
      isFrozen = true
      for (const stream of streams.values()) stream.freeze()
    },
    thaw: () => {
      isFrozen = false
      for (const stream of streams.values()) stream.thaw()
    },
    reset: () => {
      for (const socket of tcp) socket.resetAndDestroy()
    },
    halfClose: () => streams.get('toClient')?.end(),
    truncateAfter: (bytes) => streams.get('toClient')?.truncateAfter(bytes),
  }
}

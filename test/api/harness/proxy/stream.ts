import type { Socket } from 'node:net'

/** One direction of a connection. */
export interface Stream {
  freeze(): void
  thaw(): void
  /** Ends the receiver's side (FIN); what comes after is dropped. */
  end(): void
  /** Passes on this many bytes more, then cuts the connection. */
  truncateAfter(bytes: number): void
  /** Forgets what is held back. */
  stop(): void
}

type Observer = {
  readonly delayMs: () => number
  readonly passed: (bytes: number) => void
  readonly cut: () => void
}

/** A piece of data, or the end of all, and when it may go on (milliseconds of performance.now). */
type Held = { readonly piece: Buffer | undefined; readonly dueAt: number }

export function createStream(from: Socket, to: Socket, { delayMs, passed, cut }: Observer): Stream {
  const held: Held[] = []
  let state: 'flowing' | 'frozen' | 'ended' = 'flowing'
  let left = Number.POSITIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  const end = () => {
    state = 'ended'
    held.length = 0
    to.end()
  }
  const pass = (piece: Buffer) => {
    const part = piece.subarray(0, left)
    left -= part.length
    passed(part.length)
    if (left === 0) {
      state = 'ended'
      to.write(part, cut)
      return
    }
    if (!to.write(part)) {
      from.pause()
      to.once('drain', () => state !== 'frozen' && from.resume())
    }
  }
  const flush = () => {
    clearTimeout(timer)
    for (let next = held[0]; next !== undefined && state === 'flowing'; next = held[0]) {
      const waitMs = next.dueAt - performance.now()
      if (waitMs > 0) {
        timer = setTimeout(flush, waitMs)
        return
      }
      held.shift()
      if (next.piece === undefined) end()
      else pass(next.piece)
    }
  }
  const hold = (piece: Buffer | undefined) => {
    if (state === 'ended') return
    held.push({ piece, dueAt: performance.now() + delayMs() })
    flush()
  }
  from.on('data', hold)
  from.once('end', () => hold(undefined))
  return {
    freeze: () => {
      if (state !== 'flowing') return
      state = 'frozen'
      from.pause()
    },
    thaw: () => {
      if (state !== 'frozen') return
      state = 'flowing'
      from.resume()
      flush()
    },
    end,
    truncateAfter: (bytes) => {
      left = bytes
    },
    stop: () => {
      state = 'ended'
      clearTimeout(timer)
      held.length = 0
    },
  }
}

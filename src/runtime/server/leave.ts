import type { Server } from 'node:http'
import type { Socket } from 'node:net'

export type Leave = {
  /** From its abort on the server lets its clients go. */
  readonly signal: AbortSignal
  /** How long a connection on which nothing is under way may still bring a request, in milliseconds. */
  readonly graceMs: number
}

/** A connection: requests on it without a whole answer, and bytes that had come when there was none the last time. */
type Use = { unanswered: number; bytesAtRest: number; timer?: NodeJS.Timeout }

/**
 * Lets the clients of a server go without cutting a request. From the signal's abort on the server takes connections and
 * requests as before, each answer says that its connection ends with it, and a connection on which nothing is under way
 * is closed after the grace: a client that was just about to send on it is answered, and told, rather than cut.
 * Resolves when no connection is left, nor one that waits to be accepted. Closed before the event loop turns, the server
 * cuts nobody but a client whose connection the kernel takes in that very moment: that one is reset before a byte of its
 * request was read, as if it had been refused.
 */
export function letClientsGo(server: Server, leave: Leave | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (leave === undefined) return promise
  const { signal, graceMs } = leave
  const uses = new Map<Socket, Use>()

  const closeAtRest = (socket: Socket, use: Use): void => {
    const close = (): void => {
      // What came meanwhile is the beginning of a request.
      if (use.unanswered === 0 && socket.bytesRead === use.bytesAtRest) socket.destroy()
    }
    clearTimeout(use.timer)
    use.timer = setTimeout(close, graceMs)
  }
  const look = (): void => {
    if (signal.aborted && uses.size === 0) void nobodyComes(server).then((isSo) => isSo && uses.size === 0 && resolve())
  }
  server.on('connection', (socket) => {
    const use: Use = { unanswered: 0, bytesAtRest: 0 }
    uses.set(socket, use)
    socket.once('close', () => {
      clearTimeout(use.timer)
      uses.delete(socket)
      look()
    })
    if (signal.aborted) closeAtRest(socket, use)
  })
  // Before the app, which may answer at once.
  server.prependListener('request', ({ socket }, res) => {
    const use = uses.get(socket)
    if (use === undefined) return
    use.unanswered += 1
    if (signal.aborted) res.setHeader('Connection', 'close')
    res.once('close', () => {
      use.unanswered -= 1
      use.bytesAtRest = socket.bytesRead
      if (signal.aborted) closeAtRest(socket, use)
    })
  })
  const begin = (): void => {
    for (const [socket, use] of uses) closeAtRest(socket, use)
    look()
  }
  if (signal.aborted) begin()
  else signal.addEventListener('abort', begin, { once: true })
  return promise
}

/** Whether the server's queue of connections is empty: a turn of the event loop accepts one, if there is any. */
async function nobodyComes(server: Server): Promise<boolean> {
  let isEmpty = true
  const onConnection = (): void => {
    isEmpty = false
  }
  server.once('connection', onConnection)
  await turn()
  await turn()
  server.off('connection', onConnection)
  return isEmpty
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

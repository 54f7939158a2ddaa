import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { isApiError, type PortForwarder } from '../../kube/index.ts'

/** A pod's port. */
export type DoorTarget = { readonly namespace: string; readonly name: string; readonly port: number }

export type DoorOptions = {
  readonly forward: PortForwarder
  /** Which pod a new connection goes to. Rejects when there is none. */
  readonly next: () => Promise<DoorTarget>
  /** Told the pod that a connection was made to. */
  readonly onMove: (pod: string) => void
  readonly signal: AbortSignal
}

/** A port of this machine behind which a pod is. */
export type Door = AsyncDisposable & {
  readonly url: string
  /** Why the latest connection failed; undefined while connections work. */
  readonly trouble: string | undefined
}

/** How often a pod may turn out to be gone between being chosen and being called. */
const TRIES = 3

/** Listens on loopback and carries each connection to a pod. */
export async function openDoor({ forward, next, onMove, signal }: DoorOptions): Promise<Door> {
  const open = new Set<Socket>()
  let trouble: string | undefined

  const carry = async (socket: Socket): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      const pod = await next()
      try {
        await forward(socket, { namespace: pod.namespace, pod: pod.name, port: pod.port })
        trouble = undefined
        return onMove(pod.name)
      } catch (error) {
        if (!isApiError(error) || error.code === 403 || error.code === 401 || attempt === TRIES) throw error
      }
    }
  }
  const server = createServer((socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', (error) => {
      if (isApiError(error)) trouble = error.message
    })
    carry(socket).catch((error: unknown) => {
      trouble = error instanceof Error ? error.message : String(error)
      socket.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening', { signal })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    get trouble() {
      return trouble
    },
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}

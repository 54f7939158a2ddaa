import type { ServerResponse } from 'node:http'

export type EventStreamOptions = {
  /** Time between comments that keep proxies from closing a silent stream, in milliseconds. */
  readonly heartbeatMs: number
  /** How long a reader may take none of what waits for it before the connection is cut, in milliseconds. */
  readonly stalledMs: number
}

/** An answer of server-sent events that goes at its reader's pace. */
export interface EventStream {
  /** Resolves to true when the reader is ready for more, to false when it is gone. Write one frame at a time. */
  write(frame: string): Promise<boolean>
  end(): void
}

/** Starts the answer. The heartbeat ends with the response, however that ends. */
export function openEventStream(res: ServerResponse, { heartbeatMs, stalledMs }: EventStreamOptions): EventStream {
  res.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
  })
  res.flushHeaders()
  const heartbeat = setInterval(() => {
    if (!res.writableNeedDrain && !res.writableEnded) res.write(': heartbeat\n\n')
  }, heartbeatMs)
  res.once('close', () => clearInterval(heartbeat))
  return {
    write: async (frame) => !isGone(res) && (res.write(frame) || drained(res, stalledMs)),
    end: () => {
      clearInterval(heartbeat)
      res.end()
    },
  }
}

const isGone = (res: ServerResponse): boolean => res.destroyed || res.closed

/** Waits until the reader took what was written; cuts a reader that takes nothing for too long. */
function drained(res: ServerResponse, stalledMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (ready: boolean): void => {
      clearTimeout(timer)
      res.off('drain', onDrain)
      res.off('close', onClose)
      resolve(ready)
    }
    const onDrain = (): void => settle(true)
    const onClose = (): void => settle(false)
    const timer = setTimeout(() => res.destroy(), stalledMs)
    res.on('drain', onDrain)
    res.on('close', onClose)
  })
}

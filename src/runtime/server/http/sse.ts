import type { ServerResponse } from 'node:http'

export type EventStreamOptions = {
  /** Time between comments that keep proxies from closing a silent stream, in milliseconds. */
  readonly heartbeatMs: number
  /** How long a reader may take none of what waits for it before the connection is cut, in milliseconds. */
  readonly stalledMs: number
}

/** An answer of server-sent events that goes at its reader's pace. */
export interface EventStream {
  /**
   * Adds a frame; frames of one turn of the event loop go out together. True when the reader is ready for more, false
   * when it is gone; a promise of either while it has not taken what waits for it.
   */
  write(frame: string): boolean | Promise<boolean>
  end(): void
}

/** Characters of frames that are gathered before they go out within a turn. */
const MAX_GATHERED = 16_384

/** Starts the answer. The heartbeat ends with the response, however that ends. */
export function openEventStream(res: ServerResponse, { heartbeatMs, stalledMs }: EventStreamOptions): EventStream {
  res.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
  })
  const heartbeat = setInterval(() => {
    if (!res.writableNeedDrain && !res.writableEnded) res.write(': heartbeat\n\n')
  }, heartbeatMs)
  res.once('close', () => clearInterval(heartbeat))
  let frames = ''
  const flush = (): void => {
    if (isGone(res) || res.writableEnded) return
    if (frames === '') res.flushHeaders()
    else res.write(frames)
    frames = ''
  }
  setImmediate(flush)
  return {
    write: (frame) => {
      if (isGone(res)) return false
      if (frames === '') setImmediate(flush)
      frames += frame
      if (frames.length >= MAX_GATHERED) flush()
      return res.writableNeedDrain ? drained(res, stalledMs) : true
    },
    end: () => {
      clearInterval(heartbeat)
      flush()
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

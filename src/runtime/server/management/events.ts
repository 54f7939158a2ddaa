import type { RequestHandler } from 'express'
import type { RuntimeEvent } from '../../../api/index.ts'
import type { Management } from '../../registry/port.ts'
import { type EventStreamOptions, openEventStream } from '../http/sse.ts'

/** The frame of one event; its data is one line and holds the whole event. */
const frameOf = (event: RuntimeEvent): string =>
  `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

/**
 * Streams events after `Last-Event-ID`, or from now on, until the reader goes or the signal aborts. A reader that takes
 * nothing for too long is cut; it comes back with the last id that it saw.
 */
export function eventsHandler(
  management: Pick<Management, 'events'>,
  timing: EventStreamOptions,
  signal: AbortSignal,
): RequestHandler {
  return async (req, res) => {
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    const stream = openEventStream(res, timing)
    const until = AbortSignal.any([signal, gone.signal])
    for await (const event of management.events(until, req.get('Last-Event-ID'))) {
      if (!(await stream.write(frameOf(event)))) break
    }
    stream.end()
  }
}

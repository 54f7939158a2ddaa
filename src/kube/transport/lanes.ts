import type { Dispatcher } from 'undici'
import { abandonOnAbort, type Clock, linkedTo, sleep } from '../../clock.ts'
import { failureOf, unanswered } from './failure.ts'

/**
 * One connection that many streams share, with a heartbeat on the same connection as long as it has any: a server that
 * is frozen keeps its sockets open and says nothing, and HTTP/2's own pings are answered by proxies.
 */
type Lane = { readonly dispatcher: Dispatcher; streams: number }

/** A stream's place on a lane. */
export type Slot = { readonly dispatcher: Dispatcher /** Idempotent. */; release(): void }

export interface Lanes {
  take(): Slot
  /** Ends all lanes and with them their streams. */
  destroy(error: Error): void
}

export type LanesOptions = {
  /** Makes a connection, or what behaves as one. */
  create(): Dispatcher
  /** Streams on one lane at most. */
  readonly capacity: number
  /** Asks the server for a sign of life over the lane; any answer will do. */
  beat(dispatcher: Dispatcher, signal: AbortSignal): Promise<void>
  readonly periodMs: number
  /** How long a sign of life may take. With `periodMs` the time in which a frozen server shows. */
  readonly deadlineMs: number
  readonly host: string
  /** Told when a sign of life did not come in time. */
  onFrozen(): void
  readonly clock: Clock
  /** Ends the heartbeats. */
  readonly signal: AbortSignal
}

export function createLanes(options: LanesOptions): Lanes {
  const lanes = new Set<Lane>()

  const end = (lane: Lane, error: Error) => {
    lanes.delete(lane)
    lane.dispatcher.destroy(error).catch(ignore)
  }

  const open = (): Lane => {
    const lane = { dispatcher: options.create(), streams: 0 }
    lanes.add(lane)
    keepAlive(lane, options).then(
      () => end(lane, unanswered('ConnectionLost', 'the connection was not used any more')),
      (error: Error) => end(lane, error),
    )
    return lane
  }

  return {
    take: () => {
      const lane = [...lanes].find(({ streams }) => streams < options.capacity) ?? open()
      lane.streams += 1
      let isTaken = true
      return {
        dispatcher: lane.dispatcher,
        release: () => {
          if (isTaken) lane.streams -= 1
          isTaken = false
        },
      }
    },
    destroy: (error) => {
      for (const lane of lanes) end(lane, error)
    },
  }
}

/** Returns when a period has passed without a stream. @throws ApiError when the server gave no sign of life */
async function keepAlive(lane: Lane, { beat, periodMs, deadlineMs, ...options }: LanesOptions): Promise<void> {
  const { clock, signal, host } = options
  for (;;) {
    await sleep(clock, periodMs, signal)
    if (lane.streams === 0) return
    const linked = linkedTo(signal)
    const timer = clock.timer(deadlineMs, () => {
      const error = unanswered('ConnectionLost', `the API server ${host} gave no sign of life for ${deadlineMs} ms`)
      options.onFrozen()
      linked.abort(error)
    })
    try {
      await abandonOnAbort(beat(lane.dispatcher, linked.signal), linked.signal)
    } catch (error) {
      throw failureOf(error, host)
    } finally {
      timer.cancel()
      linked.release()
    }
  }
}

const ignore = () => undefined

/** How often a host that runs code is asked whether its event loop turns, in milliseconds. */
const BEAT_MS = 100
/** How long an event loop may take to turn, in milliseconds: longer, and it stands still. */
export const STILL_MS = 250

export type PulseOptions = {
  /** Asks the host; `heard` is called with its answer. */
  readonly ask: () => void
  /** Whether code runs there that somebody waits for. */
  readonly isNeeded: () => boolean
}

/**
 * Asks a host again and again whether its event loop turns, while code runs there. So it is known by the time a call has
 * had its time, and a host that stands still is not given more.
 */
export class Pulse {
  readonly #options: PulseOptions
  #timer: NodeJS.Timeout | undefined
  #askedAt: number | undefined

  constructor(options: PulseOptions) {
    this.#options = options
  }

  /** Whether the event loop has not turned for `STILL_MS` or longer, as far as was read. */
  get isStill(): boolean {
    return this.#askedAt !== undefined && performance.now() - this.#askedAt >= STILL_MS
  }

  /** Begins to ask, until nobody needs to know. Idempotent. */
  start(): void {
    this.#timer ??= setTimeout(() => this.#beat(), BEAT_MS).unref()
  }

  heard(): void {
    this.#askedAt = undefined
  }

  #beat(): void {
    this.#timer = undefined
    if (!this.#options.isNeeded()) return
    if (this.#askedAt === undefined) {
      this.#askedAt = performance.now()
      this.#options.ask()
    }
    this.start()
  }
}

import type { RuntimeEvent } from '../../api/index.ts'

type NewEvent = RuntimeEvent extends infer E ? (E extends RuntimeEvent ? Omit<E, 'id'> : never) : never

type Stats = Extract<RuntimeEvent, { type: 'stats' }>['stats']

/**
 * The last events of a runtime, numbered without gaps, for any number of readers. Writing never waits for a reader:
 * one that fell behind what is kept, or that comes with an id from elsewhere, gets `reset` and goes on from now.
 * Statistics are read as they were told last, whichever event of theirs is read.
 */
export class EventLog {
  readonly #bootId: string
  readonly #capacity: number
  /** A ring: event number n stands at n modulo the capacity, without its id, which would be a quarter of its memory. */
  readonly #events: NewEvent[] = []
  /** Kept once: in a day the ring would fill with copies of them. */
  #stats: Stats = {}
  /** Number of the last event written. */
  #last = 0
  #wake = Promise.withResolvers<void>()

  /** @param capacity events kept: new settings tell every item once, and a runtime may hold thousands */
  constructor(bootId: string, capacity = 16_384) {
    this.#bootId = bootId
    this.#capacity = capacity
  }

  /** Id of the last event; number 0 stands for none yet. */
  get lastId(): string {
    return this.#idOf(this.#last)
  }

  append(event: NewEvent): void {
    this.#last += 1
    if (event.type === 'stats') this.#stats = event.stats
    this.#events[this.#last % this.#capacity] = event.type === 'stats' ? { ...event, stats: {} } : event
    this.#notify()
  }

  /** All events after `lastEventId`, or from now on; ends when the signal aborts. */
  async *read(signal: AbortSignal, lastEventId?: string): AsyncGenerator<RuntimeEvent> {
    const wake = () => this.#notify()
    signal.addEventListener('abort', wake, { once: true })
    try {
      yield* this.#follow(signal, lastEventId)
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }

  async *#follow(signal: AbortSignal, lastEventId: string | undefined): AsyncGenerator<RuntimeEvent> {
    let position = lastEventId === undefined ? this.#last : this.#positionOf(lastEventId)
    while (!signal.aborted) {
      if (position === undefined || position < this.#last - this.#capacity) {
        position = this.#last
        yield { id: this.#idOf(position), type: 'reset' }
        continue
      }
      const event = position < this.#last ? this.#events[(position + 1) % this.#capacity] : undefined
      if (event === undefined) {
        await this.#wake.promise
        continue
      }
      position += 1
      yield {
        ...event,
        ...(event.type === 'stats' && { stats: this.#stats }),
        id: this.#idOf(position),
      } as RuntimeEvent
    }
  }

  #notify(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers<void>()
  }

  #idOf(sequence: number): string {
    return `${this.#bootId}/${sequence}`
  }

  #positionOf(id: string): number | undefined {
    const [, bootId, digits] = /^(.+)\/(\d{1,15})$/s.exec(id) ?? []
    const position = Number(digits)
    return bootId === this.#bootId && position <= this.#last ? position : undefined
  }
}

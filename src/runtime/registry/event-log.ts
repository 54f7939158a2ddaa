import type { RuntimeEvent } from '../../api/index.ts'

type NewEvent = RuntimeEvent extends infer E ? (E extends RuntimeEvent ? Omit<E, 'id'> : never) : never

/**
 * The last events of a runtime, numbered without gaps, for any number of readers. Writing never waits for a reader:
 * one that fell behind what is kept, or that comes with an id from elsewhere, gets `reset` and goes on from now.
 */
export class EventLog {
  readonly #bootId: string
  readonly #capacity: number
  readonly #events: RuntimeEvent[] = []
  /** Number of the last event written. */
  #last = 0
  #wake = Promise.withResolvers<void>()

  constructor(bootId: string, capacity = 1024) {
    this.#bootId = bootId
    this.#capacity = capacity
  }

  append(event: NewEvent): void {
    this.#last += 1
    this.#events.push({ ...event, id: this.#idOf(this.#last) } as RuntimeEvent)
    if (this.#events.length > this.#capacity) this.#events.shift()
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
      const oldest = this.#last - this.#events.length
      if (position === undefined || position < oldest) {
        position = this.#last
        yield { id: this.#idOf(position), type: 'reset' }
        continue
      }
      const event = this.#events[position - oldest]
      if (event === undefined) {
        await this.#wake.promise
        continue
      }
      position += 1
      yield event
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
    const [bootId, sequence] = id.split('/')
    const position = Number(sequence)
    const known = bootId === this.#bootId && Number.isSafeInteger(position) && position >= 0 && position <= this.#last
    return known ? position : undefined
  }
}

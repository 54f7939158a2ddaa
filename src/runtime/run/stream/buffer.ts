/** A queue between one writer that never waits and one reader. What has been read is let go. */
export class EventBuffer<T> implements AsyncIterable<T> {
  #unread: T[] = []
  #next = 0
  #ended = false
  #waiting: ((result: IteratorResult<T>) => void)[] = []

  push(value: T): void {
    const reader = this.#waiting.shift()
    if (reader === undefined) this.#unread.push(value)
    else reader({ done: false, value })
  }

  /** What was pushed can still be read. */
  end(): void {
    this.#ended = true
    for (const reader of this.#waiting.splice(0)) reader({ done: true, value: undefined })
  }

  /** Every value once: a second iterator goes on where the first stopped. */
  [Symbol.asyncIterator](): AsyncIterator<T> {
    return { next: () => this.#read() }
  }

  #read(): Promise<IteratorResult<T>> {
    if (this.#next < this.#unread.length) return Promise.resolve({ done: false, value: this.#take() })
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  #take(): T {
    const value = this.#unread[this.#next++] as T
    if (this.#next === this.#unread.length) {
      this.#unread = []
      this.#next = 0
    }
    return value
  }
}

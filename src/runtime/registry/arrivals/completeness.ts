type Sync =
  /** `expected`: items that the last whole sync named, not all of which are here. */
  { readonly type: 'incomplete'; readonly expected?: number } | { readonly type: 'complete' }

/** Whether everything that was declared is here. */
export class Completeness {
  /** Settled once it is for the first time. */
  readonly whole: Promise<void>
  readonly #becomesWhole: () => void
  #sync: Sync = { type: 'incomplete' }

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.whole = promise
    this.#becomesWhole = resolve
  }

  get isComplete(): boolean {
    return this.#sync.type === 'complete'
  }

  /**
   * A sync has ended.
   * @param named items that it named, if it was a whole one
   * @param declared items that are here
   */
  settle(named: number | undefined, declared: number): void {
    const expected = named ?? (this.#sync.type === 'incomplete' ? this.#sync.expected : undefined)
    if (expected === undefined) return
    const isHere = declared >= expected
    this.#sync = isHere ? { type: 'complete' } : { type: 'incomplete', expected }
    if (isHere) this.#becomesWhole()
  }
}

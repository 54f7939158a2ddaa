/** Tells which preparation of an id is the newest, so that a slow load never undoes a later, faster one. */
export class Tickets {
  readonly #newest = new Map<string, number>()
  #last = 0

  /** For one more preparation of the id: others that are under way are outdated. */
  take(id: string): number {
    this.#last += 1
    this.#newest.set(id, this.#last)
    return this.#last
  }

  /** Makes every preparation of the id that is under way outdated. */
  revoke(id: string): void {
    this.#newest.delete(id)
  }

  isNewest(id: string, ticket: number): boolean {
    return this.#newest.get(id) === ticket
  }

  /** True once, for the newest preparation of the id. */
  redeem(id: string, ticket: number): boolean {
    if (this.#newest.get(id) !== ticket) return false
    return this.#newest.delete(id)
  }
}

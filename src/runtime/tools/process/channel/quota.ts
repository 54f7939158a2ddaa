/** Most messages and bytes that a host may send in one second without being asked: far above what logs and states are. */
const MAX_MESSAGES = 20_000
const MAX_BYTES = 32 * 1_048_576
const SECOND_MS = 1_000

/** Counts what a host sends of itself, second by second. */
export class Quota {
  #second = 0
  #messages = 0
  #bytes = 0

  /** Whether one more message is within bounds. */
  allows(bytes: number, nowMs: number): boolean {
    const second = Math.floor(nowMs / SECOND_MS)
    if (second !== this.#second) {
      this.#second = second
      this.#messages = 0
      this.#bytes = 0
    }
    this.#messages += 1
    this.#bytes += bytes
    return this.#messages <= MAX_MESSAGES && this.#bytes <= MAX_BYTES
  }
}

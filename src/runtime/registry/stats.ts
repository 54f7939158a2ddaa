/** Runs and errors of one digest. */
export type DigestStats = { readonly runs: number; readonly errors: number }

/** Digests that are remembered: those of the latest runs. */
const REMEMBERED = 512

/** Shortest time between two tellings, in milliseconds. */
const STATS_MS = 5_000

/** Counts runs by the digest that answered them. */
export class RunStats {
  readonly #byDigest = new Map<string, DigestStats>()

  /** When the first run ended that was not told of yet. */
  #untoldSince: number | undefined

  /** @param now here and below in milliseconds on any clock that never jumps */
  record(digest: string, failed: boolean, now: number): void {
    this.#untoldSince ??= now
    const before = this.#byDigest.get(digest) ?? { runs: 0, errors: 0 }
    this.#byDigest.delete(digest)
    this.#byDigest.set(digest, { runs: before.runs + 1, errors: before.errors + (failed ? 1 : 0) })
    if (this.#byDigest.size <= REMEMBERED) return
    for (const oldest of this.#byDigest.keys()) {
      this.#byDigest.delete(oldest)
      return
    }
  }

  /** True when they are to be told now, at most once in 5 s; then they count as told. */
  tell(now: number): boolean {
    if (this.#untoldSince === undefined || now - this.#untoldSince < STATS_MS) return false
    this.#untoldSince = undefined
    return true
  }

  all(): Record<string, DigestStats> {
    return Object.fromEntries(this.#byDigest)
  }
}

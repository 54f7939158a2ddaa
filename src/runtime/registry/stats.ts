/** Runs and errors of one digest. */
export type DigestStats = { readonly runs: number; readonly errors: number }

/** Digests that are remembered: those of the latest runs. */
const REMEMBERED = 512

/** Counts runs by the digest that answered them. */
export class RunStats {
  readonly #byDigest = new Map<string, DigestStats>()

  record(digest: string, failed: boolean): void {
    const before = this.#byDigest.get(digest) ?? { runs: 0, errors: 0 }
    this.#byDigest.delete(digest)
    this.#byDigest.set(digest, { runs: before.runs + 1, errors: before.errors + (failed ? 1 : 0) })
    if (this.#byDigest.size <= REMEMBERED) return
    for (const oldest of this.#byDigest.keys()) {
      this.#byDigest.delete(oldest)
      return
    }
  }

  all(): Record<string, DigestStats> {
    return Object.fromEntries(this.#byDigest)
  }
}

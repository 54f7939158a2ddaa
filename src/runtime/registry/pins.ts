import type { LoadedBundle } from '../files/loaded.ts'
import type { Pinned } from './port.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * Snapshots that runs hold. A bundle version is alive while the current snapshot or a pinned one has it; when it no
 * longer is, its tools are disposed of, once.
 */
export class Pins {
  readonly #counts = new Map<Snapshot, number>()
  readonly #onDead: (bundle: LoadedBundle) => void
  #current: Snapshot

  constructor(current: Snapshot, onDead: (bundle: LoadedBundle) => void) {
    this.#current = current
    this.#onDead = onDead
  }

  pin(): Pinned {
    const snapshot = this.#current
    this.#counts.set(snapshot, (this.#counts.get(snapshot) ?? 0) + 1)
    let held = true
    return {
      snapshot,
      release: () => {
        if (held) this.#release(snapshot)
        held = false
      },
    }
  }

  swap(next: Snapshot): void {
    const before = this.#current
    this.#current = next
    if (!this.#counts.has(before)) this.#bury(before)
  }

  /** Distinct versions of bundles that something may still call. */
  bundleVersionsAlive(): number {
    return this.#alive().size
  }

  #release(snapshot: Snapshot): void {
    const left = (this.#counts.get(snapshot) ?? 1) - 1
    if (left > 0) {
      this.#counts.set(snapshot, left)
      return
    }
    this.#counts.delete(snapshot)
    if (snapshot !== this.#current) this.#bury(snapshot)
  }

  #bury(snapshot: Snapshot): void {
    const alive = this.#alive()
    for (const bundle of snapshot.bundles.values()) if (!alive.has(bundle)) this.#onDead(bundle)
  }

  #alive(): Set<LoadedBundle> {
    return new Set([this.#current, ...this.#counts.keys()].flatMap(({ bundles }) => [...bundles.values()]))
  }
}

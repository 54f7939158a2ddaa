import { setTimeout } from 'node:timers/promises'
import type { HostProcess } from './host/host-process.ts'
import type { HostKind } from './host/spawn.ts'

const PAUSE_MS = 5

type Warm = { readonly key: string; readonly host: HostProcess }

/** Keeps one host process warm: started, with its packages loaded, and nothing else in it. */
export class Standby {
  readonly #spawn: (kind: HostKind) => HostProcess
  #warm: Warm | undefined
  #pause: Promise<void> | undefined
  #isClosed = false

  constructor(spawn: (kind: HostKind) => HostProcess) {
    this.#spawn = spawn
  }

  /**
   * Gives a fresh host, warm when the last one was of the same kind, to who loads something into it, and has the next one
   * ready soon after.
   */
  async use<T>(kind: HostKind, load: (host: HostProcess) => Promise<T>): Promise<T> {
    try {
      return await load(this.#take(kind))
    } finally {
      // To start a process takes milliseconds of this thread: what was waited for goes first.
      this.#pause = setTimeout(PAUSE_MS, undefined, { ref: false })
        .then(() => this.#prepare(kind))
        // The next load tries to start one itself, and tells why that fails.
        .catch(() => undefined)
    }
  }

  /** Resolves when the next load finds what was to be prepared for it. */
  async ready(): Promise<void> {
    await this.#pause
    await this.#warm?.host.ready
  }

  /** Ends the warm host, and keeps none from now on. */
  async close(): Promise<void> {
    this.#isClosed = true
    const warm = this.#warm
    this.#warm = undefined
    await warm?.host.close()
  }

  #take(kind: HostKind): HostProcess {
    const warm = this.#usable(JSON.stringify(kind))
    this.#warm = undefined
    return warm?.host ?? this.#spawn(kind)
  }

  #prepare(kind: HostKind): void {
    const key = JSON.stringify(kind)
    if (this.#isClosed || this.#usable(key) !== undefined) return
    this.#warm = { key, host: this.#spawn(kind) }
  }

  #usable(key: string): Warm | undefined {
    const warm = this.#warm
    if (warm === undefined || warm.host.isEnded) return undefined
    if (warm.key === key) return warm
    // What it has loaded, or may use, is not what is asked for.
    void warm.host.close()
    return undefined
  }
}

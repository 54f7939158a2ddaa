import { setTimeout as sleep } from 'node:timers/promises'
import { between } from '../../../bench/lib/random.ts'
import { createAtomicWriter } from '../../../src/runtime/files/atomic-writer.fixture.ts'
import { BAD_KINDS, type BadKind, sourcesOf } from '../versions.ts'
import type { Traffic } from './traffic.ts'

/** Share of the swaps that follow right on the one before. */
const DOUBLE = 0.1
/** Swaps that may be late. */
const MADE_UP = 5

export type SwapsOptions = {
  /** Where the runtime has its mount. */
  readonly directory: string
  /** One in so many swaps is bad, never the last of them. */
  readonly oneInBad: number
  readonly random: () => number
  readonly traffic: Pick<Traffic, 'sent' | 'writes'>
  /** Resolves when the runtime has refused a version for this reason, after `write` has written it. */
  readonly whenRefused: (reason: string, write: () => Promise<void>) => Promise<void>
}

/** Swaps the files of a mount as the kubelet does, in step with the traffic. */
export class Swaps {
  readonly #options: SwapsOptions
  readonly #writer: ReturnType<typeof createAtomicWriter>
  /** How many swaps there were, and the version of the last. */
  #count = 0
  #bad = 0
  /** Which of the next `oneInBad` is bad. */
  #badPlace = 0

  constructor(options: SwapsOptions) {
    this.#options = options
    this.#writer = createAtomicWriter(options.directory)
  }

  get count(): number {
    return this.#count
  }

  get bad(): number {
    return this.#bad
  }

  /**
   * So many swaps, each after a random number of calls that is `callsPerSwap` on average.
   * @param count a multiple of `oneInBad`, so that the last one is good
   */
  async run(count: number, callsPerSwap: number): Promise<void> {
    const { random, traffic } = this.#options
    let due = traffic.sent
    for (let done = 0; done < count; done += 1) {
      const gap = random() < DOUBLE ? 0 : between(random, 0, 2) * callsPerSwap
      // Swaps that took long are made up for, but for a few.
      due = Math.max(due, traffic.sent - MADE_UP * callsPerSwap) + gap
      while (traffic.sent < due) await sleep(1)
      await this.#next()
    }
  }

  async #next(): Promise<void> {
    const { random, oneInBad } = this.#options
    const place = this.#count % oneInBad
    if (place === 0) this.#badPlace = Math.floor(between(random, 0, oneInBad - 1))
    this.#count += 1
    if (place === this.#badPlace) await this.#writeBad()
    else await this.#writeGood()
  }

  async #writeGood(): Promise<void> {
    this.#options.traffic.writes(this.#count)
    await this.#writer.write(sourcesOf({ number: this.#count }))
  }

  async #writeBad(): Promise<void> {
    const [kind, reason] = BAD_KINDS[this.#bad % BAD_KINDS.length] ?? BAD_KINDS[0]
    const write = (): Promise<void> => this.#write(kind)
    // The next version may come before this one was looked at: the first of each kind stays until it was.
    const isFirst = this.#bad < BAD_KINDS.length
    this.#bad += 1
    await (isFirst ? this.#options.whenRefused(reason, write) : write())
  }

  #write(bad: BadKind): Promise<void> {
    return this.#writer.write(sourcesOf({ number: this.#count, bad }))
  }
}

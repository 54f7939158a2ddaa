import { type Arrival, disposeUnit } from '../core.ts'
import type { Settlement } from '../observer.ts'
import { bundleNameOf, type Served } from '../plan/served.ts'
import type { Work } from './item-arrivals.ts'
import { Tickets } from './tickets.ts'

/** How arrivals come. */
export type Taking = Pick<Settlement, 'source' | 'noticed' | 'wentBack'> & {
  /** Fence under which a call was admitted, and what to do before it is refused because a newer one was meanwhile. */
  readonly admitted?: { readonly fence: number; readonly overtaken: () => Promise<void> }
}

/** Moments on the registry's clock: when the preparation began, and when all was loaded. */
export type Prelude = Pick<Settlement, 'source' | 'noticed' | 'wentBack'> & {
  readonly started: number
  readonly loaded: number
}

/** An arrival that is ready to be committed, if it still is the newest of its id. */
export type Prepared = {
  readonly id: string
  readonly ticket: number
  /** What served when the preparation began. */
  readonly serving: Served | undefined
  readonly arrival: Arrival
}

export type PreparationsOptions = {
  /** What serves under an id. */
  readonly unit: (id: string) => Served | undefined
  /** What should serve under a bundle's name, decided anew. */
  readonly again: (bundle: string) => Promise<Arrival>
}

/** Arrivals that are being prepared, each aside of what serves. */
export class Preparations {
  readonly #options: PreparationsOptions
  readonly #tickets = new Tickets()

  constructor(options: PreparationsOptions) {
    this.#options = options
  }

  /**
   * Prepares side by side. A version that turned out to serve already may be taken out of service, and disposed of, while
   * the others load: it is prepared once more.
   */
  async prepare(work: Work): Promise<Prepared[]> {
    let prepared = await Promise.all(work.map(([id, prepare]) => this.#prepare(id, this.#tickets.take(id), prepare)))
    while (prepared.some((one) => this.#isGone(one))) {
      prepared = await Promise.all(prepared.map((one) => (this.#isGone(one) ? this.#again(one) : one)))
    }
    return prepared
  }

  /** The arrivals that are still the newest of their id; the others are given up, all of them when `isRefused`. */
  redeem(prepared: readonly Prepared[], isRefused: boolean): Arrival[] {
    return prepared.flatMap(({ id, ticket, serving, arrival }) => {
      if (this.#tickets.redeem(id, ticket) && !isRefused) return [arrival]
      // What served already was not loaded for this, and may be in use.
      if (arrival.type === 'put' && arrival.unit !== serving) disposeUnit(arrival.unit)
      return []
    })
  }

  /** Makes every preparation of the id that is under way outdated. */
  revoke(id: string): void {
    this.#tickets.revoke(id)
  }

  async #prepare(id: string, ticket: number, prepare: Work[number][1]): Promise<Prepared> {
    const serving = this.#options.unit(id)
    return { id, ticket, serving, arrival: await prepare() }
  }

  #isGone({ id, ticket, serving, arrival }: Prepared): boolean {
    if (arrival.type !== 'put' || arrival.unit.type !== 'bundle' || arrival.unit !== serving) return false
    return this.#options.unit(id) !== serving && this.#tickets.isNewest(id, ticket)
  }

  #again({ id, ticket }: Prepared): Promise<Prepared> {
    return this.#prepare(id, ticket, () => this.#options.again(bundleNameOf(id) ?? ''))
  }
}

import { disposeUnit } from '../core.ts'
import type { Served, ServedBundle } from '../plan/served.ts'
import { type LoadWith, settingsKey } from './prepare.ts'

/** Everything that a load depends on besides the files. */
export type Basis = LoadWith & {
  /** What served: a load may have taken over modules of it. */
  readonly serving: Served | undefined
}

type Tried = { readonly unit: ServedBundle; readonly basis: Basis; readonly until: number }

/** How long what a check has loaded is kept for its activation, in milliseconds. */
export const TRIED_MS = 30_000
/** Versions that are kept, of different bundles. */
const MAX_TRIED = 16

/**
 * What checks have loaded, one version of each bundle, so that the activation that follows does not load it again. What
 * is not taken in time, or makes room for another, is disposed of.
 */
export class TriedBundles {
  readonly #tried = new Map<string, Tried>()

  keep(unit: ServedBundle, basis: Basis, now: number): void {
    const { name } = unit.bundle
    if (this.#tried.get(name)?.unit !== unit) this.#drop(name)
    this.#tried.delete(name)
    this.#tried.set(name, { unit, basis, until: now + TRIED_MS })
    for (const oldest of this.#tried.keys()) if (this.#tried.size > MAX_TRIED) this.#drop(oldest)
  }

  /** The version as another load would bring it; it stays kept. */
  find(name: string, hash: string, basis: Basis): ServedBundle | undefined {
    const tried = this.#tried.get(name)
    return tried?.unit.bundle.hash === hash && isSame(tried.basis, basis) ? tried.unit : undefined
  }

  /** The same, and it is the caller's from now on. */
  take(name: string, hash: string, basis: Basis): ServedBundle | undefined {
    const unit = this.find(name, hash, basis)
    if (unit !== undefined) this.#tried.delete(name)
    return unit
  }

  expire(now: number): void {
    for (const [name, { until }] of this.#tried) if (until <= now) this.#drop(name)
  }

  #drop(name: string): void {
    const tried = this.#tried.get(name)
    if (tried !== undefined) disposeUnit(tried.unit)
    this.#tried.delete(name)
  }
}

const isSame = (a: Basis, b: Basis): boolean =>
  a.serving === b.serving && a.secrets === b.secrets && settingsKey(a) === settingsKey(b)

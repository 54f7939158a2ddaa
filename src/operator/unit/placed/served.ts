import { type BundlePush, type ItemId, SETTINGS_ID } from '../../../api/index.ts'
import { NO_SEEDS, type Seeds } from '../../boot/index.ts'
import type { Desired, PlacedItem, PodState } from '../../ports.ts'
import type { Difference } from '../../sync/difference.ts'
import { bundleUnit } from '../../unit-id.ts'

export type Test = (unit: string, revision: string) => boolean

/** Something that is placed and that no pod has shown to serve yet. */
type Open = { readonly unit: string; readonly revision: string; readonly keep: () => void }

/** Items and bundles, each in one version. */
export type Versions = {
  readonly items: ReadonlyMap<ItemId, PlacedItem>
  readonly bundles: ReadonlyMap<string, BundlePush>
}

/**
 * Of every item and bundle the last version that a pod said it serves, and until one does what the record says. A pod
 * that has nothing, as after a restart, is given that first: what is placed now may have to wait for something, and the
 * last one goes on serving until then.
 */
export class Served {
  readonly #items = new Map<ItemId, PlacedItem>()
  readonly #bundles = new Map<string, BundlePush>()
  #seeds: { items: Map<ItemId, PlacedItem>; bundles: Map<string, BundlePush>; secrets: Desired['secrets'] }
  #desired: Desired | undefined
  #open: readonly Open[] = []

  constructor({ items, bundles, secrets }: Seeds = NO_SEEDS) {
    this.#seeds = { items: new Map(items), bundles: new Map(bundles), secrets }
  }

  /** What a pod has shown to serve since this process began. */
  get shown(): Versions {
    return { items: this.#items, bundles: this.#bundles }
  }

  /** What the record says, where no pod has shown anything of a unit yet. */
  get seeds(): Seeds {
    return this.#seeds
  }

  /** @returns what the record says and a pod has shown by now to serve */
  confirm(isServed: Test): Versions {
    const items = new Map([...this.#seeds.items].filter(([id, { revision }]) => isServed(id, revision)))
    const bundles = new Map([...this.#seeds.bundles].filter(([name, { hash }]) => isServed(bundleUnit(name), hash)))
    for (const [id, item] of items) this.#keepItem(id, item)
    for (const [name, push] of bundles) this.#keepBundle(name, push)
    return { items, bundles }
  }

  /** Takes in what the pods show of what is placed. */
  observe(desired: Desired, isServed: Test): void {
    if (desired !== this.#desired) this.#take(desired)
    this.#open = this.#open.filter(({ unit, revision, keep }) => {
      const isSeen = isServed(unit, revision)
      if (isSeen) keep()
      return !isSeen
    })
  }

  /** A version of a bundle turned out to be no good. */
  drop(name: string, hash: string): void {
    for (const known of [this.#bundles, this.#seeds.bundles]) if (known.get(name)?.hash === hash) known.delete(name)
  }

  /**
   * What a pod is told now of the difference to what is desired; the next one tells the rest. What each pod is to keep
   * as it is, because nothing better is known, one that has nothing is given too.
   */
  first(state: PodState, whole: Difference, desired: Desired): Difference {
    const items = Object.fromEntries(this.#lastItems(state, whole, desired))
    const bundles = Object.fromEntries(this.#lastBundles(state, desired))
    const secrets = Object.fromEntries(this.#lastSecrets(state, desired))
    const counts = [items, bundles, secrets].map((each) => Object.keys(each).length)
    if (counts.every((count) => count === 0)) return whole
    return {
      ...whole,
      items: { ...whole.items, ...items },
      bundles: { ...whole.bundles, ...bundles },
      secrets: { ...secrets, ...whole.secrets },
    }
  }

  *#lastItems(state: PodState, whole: Difference, { items, held, owner }: Desired): Generator<[ItemId, Sent]> {
    const last = (id: ItemId): PlacedItem | undefined => {
      // A runtime always has settings: those that it begins with do not count.
      const isThere = id === SETTINGS_ID ? !isFresh(state) : state.items.has(id)
      return isThere ? undefined : (this.#items.get(id) ?? this.#seeds.items.get(id))
    }
    // Not all of it: what was compiled knows more than travels.
    const sent = ({ revision, definition }: PlacedItem): Sent => ({ owner, revision, definition })
    for (const [id, { revision }] of Object.entries(whole.items)) {
      const item = last(id)
      if (item && item.revision !== revision) yield [id, sent(item)]
    }
    for (const id of held) {
      const item = items.has(id) ? undefined : last(id)
      if (item) yield [id, sent(item)]
    }
  }

  *#lastBundles(state: PodState, { bundles, kept }: Desired): Generator<[string, BundlePush]> {
    const known = new Set([...this.#bundles.keys(), ...this.#seeds.bundles.keys()])
    for (const name of known) {
      const isWanted = bundles.has(name) || kept === 'all' || kept.has(name)
      // One that nobody has told anything may have refused what its mount shows.
      const there = state.bundles.get(name)
      const isThere = isFresh(state) ? there?.active !== undefined : there !== undefined
      const last = this.#bundles.get(name) ?? this.#seeds.bundles.get(name)
      if (isWanted && !isThere && last && last.hash !== bundles.get(name)?.hash) yield [name, last]
    }
  }

  #lastSecrets(state: PodState, { secrets, keptSecrets }: Desired): (readonly [string, Value])[] {
    return [...this.#seeds.secrets].filter(([id]) => {
      const isKept = keptSecrets === 'all' || keptSecrets.has(id)
      return isKept && !secrets.has(id) && !state.secrets.has(id)
    })
  }

  #take(desired: Desired): void {
    this.#desired = desired
    const isItem = (id: ItemId) => desired.items.has(id) || desired.held.has(id)
    const isBundle = (name: string) => desired.bundles.has(name) || desired.kept === 'all' || desired.kept.has(name)
    for (const known of [this.#items, this.#seeds.items]) keepOnly<unknown>(known, isItem)
    for (const known of [this.#bundles, this.#seeds.bundles]) keepOnly<unknown>(known, isBundle)
    const items = [...desired.items].flatMap(([id, item]): Open[] => {
      if (this.#items.get(id)?.revision === item.revision) {
        // What the record brought is the same, and would be held besides.
        this.#items.set(id, item)
        return []
      }
      return [{ unit: id, revision: item.revision, keep: () => this.#keepItem(id, item) }]
    })
    const bundles = [...desired.bundles].flatMap(([name, push]): Open[] => {
      if (this.#bundles.get(name)?.hash === push.hash) {
        this.#bundles.set(name, push)
        return []
      }
      return [{ unit: bundleUnit(name), revision: push.hash, keep: () => this.#keepBundle(name, push) }]
    })
    this.#open = [...items, ...bundles]
  }

  #keepItem(id: ItemId, item: PlacedItem): void {
    this.#items.set(id, item)
    this.#seeds.items.delete(id)
  }

  #keepBundle(name: string, push: BundlePush): void {
    this.#bundles.set(name, push)
    this.#seeds.bundles.delete(name)
  }
}

type Sent = Difference['items'][string]
type Value = Difference['secrets'][string]

/** Whether nobody has told a pod anything yet. */
const isFresh = ({ claimedBy }: PodState): boolean => claimedBy === undefined

function keepOnly<T>(map: Map<string, T>, isWanted: (key: string) => boolean): void {
  for (const key of [...map.keys()]) if (!isWanted(key)) map.delete(key)
}

import type { BundlePush, ItemId } from '../../api/index.ts'
import type { Desired, PlacedItem, PodState } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'
import { bundleUnit } from '../unit-id.ts'

/** Something that is placed and that no pod has shown to serve yet. */
type Open = { readonly unit: string; readonly revision: string; readonly keep: () => void }

/**
 * Of every item and bundle the last version that a pod said it serves. A pod that has nothing, as after a restart, is
 * given that first: what is placed now may have to wait for something, and the last one goes on serving until then.
 */
export class Served {
  readonly #items = new Map<ItemId, PlacedItem>()
  readonly #bundles = new Map<string, BundlePush>()
  #desired: Desired | undefined
  #open: readonly Open[] = []

  /** Takes in what the pods show of what is placed. */
  observe(desired: Desired, isServed: (unit: string, revision: string) => boolean): void {
    if (desired !== this.#desired) this.#take(desired)
    this.#open = this.#open.filter(({ unit, revision, keep }) => {
      const isSeen = isServed(unit, revision)
      if (isSeen) keep()
      return !isSeen
    })
  }

  /** What a pod is told now of a difference; the next one tells the rest. */
  first(state: PodState, whole: Difference): Difference {
    if (this.#items.size === 0 && this.#bundles.size === 0) return whole
    const items = Object.entries(whole.items).flatMap(([id, { owner, revision }]) => {
      const last = state.items.has(id) ? undefined : this.#items.get(id)
      if (last === undefined || last.revision === revision) return []
      return [[id, { owner, revision: last.revision, definition: last.definition }] as const]
    })
    const bundles = Object.entries(whole.bundles).flatMap(([name, { hash }]) => {
      const last = state.bundles.has(name) ? undefined : this.#bundles.get(name)
      return last === undefined || last.hash === hash ? [] : [[name, last] as const]
    })
    if (items.length === 0 && bundles.length === 0) return whole
    return {
      ...whole,
      items: { ...whole.items, ...Object.fromEntries(items) },
      bundles: { ...whole.bundles, ...Object.fromEntries(bundles) },
    }
  }

  #take(desired: Desired): void {
    this.#desired = desired
    for (const id of [...this.#items.keys()])
      if (!desired.items.has(id) && !desired.held.has(id)) this.#items.delete(id)
    for (const name of [...this.#bundles.keys()])
      if (!desired.bundles.has(name) && desired.kept !== 'all' && !desired.kept.has(name)) this.#bundles.delete(name)
    const items = [...desired.items].flatMap(([id, item]): Open[] => {
      if (this.#items.get(id)?.revision === item.revision) return []
      return [{ unit: id, revision: item.revision, keep: () => void this.#items.set(id, item) }]
    })
    const bundles = [...desired.bundles].flatMap(([name, push]): Open[] => {
      if (this.#bundles.get(name)?.hash === push.hash) return []
      return [{ unit: bundleUnit(name), revision: push.hash, keep: () => void this.#bundles.set(name, push) }]
    })
    this.#open = [...items, ...bundles]
  }
}

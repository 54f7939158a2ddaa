import { isDeepStrictEqual } from 'node:util'
import type { ItemId, ItemState } from '../../api/index.ts'

/**
 * Item states that are alike as one object, for all pods of an operator: a runtime's pods mostly hold the same, so that
 * a thousand pods cost little more than one. Counts who uses what and keeps nothing that nobody uses.
 */
export interface StateInterner {
  /** The id and the state to keep; to be released once for each time it was taken. */
  take(id: ItemId, state: ItemState): { readonly id: ItemId; readonly state: ItemState }
  release(id: ItemId, state: ItemState): void
  /** How many different states are held. */
  readonly size: number
}

/** States of one item that are looked through; what differs more often is not shared, as the search would cost more. */
const MAX_VARIANTS = 16

type Variant = { readonly state: ItemState; uses: number }
type Entry = { readonly id: ItemId; readonly variants: Variant[] }

export function createStateInterner(): StateInterner {
  const entries = new Map<ItemId, Entry>()

  const entryOf = (id: ItemId): Entry => {
    const known = entries.get(id)
    if (known !== undefined) return known
    const entry: Entry = { id, variants: [] }
    entries.set(id, entry)
    return entry
  }

  return {
    take: (id, state) => {
      const entry = entryOf(id)
      const known = entry.variants.find((variant) => isDeepStrictEqual(variant.state, state))
      if (known === undefined) {
        if (entry.variants.length < MAX_VARIANTS) entry.variants.push({ state, uses: 1 })
        return { id: entry.id, state }
      }
      known.uses += 1
      return { id: entry.id, state: known.state }
    },
    release: (id, state) => {
      const entry = entries.get(id)
      const index = entry?.variants.findIndex((known) => known.state === state) ?? -1
      const variant = entry?.variants[index]
      if (entry === undefined || variant === undefined) return
      variant.uses -= 1
      if (variant.uses === 0) entry.variants.splice(index, 1)
      if (entry.variants.length === 0) entries.delete(id)
    },
    get size() {
      return [...entries.values()].reduce((sum, { variants }) => sum + variants.length, 0)
    },
  }
}

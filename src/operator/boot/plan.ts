import { BOOT_SLOTS } from '../../api/index.ts'

/** What stands in the slots now. */
export type SlotsInUse = {
  /** Those of the newest whole set. */
  readonly whole: readonly number[]
  /** Those that hold anything else: parts of an older set, or of one that was never finished. */
  readonly others: readonly number[]
}

export type SlotPlan = {
  /** The slot of each part, in the order in which they are written. */
  readonly write: readonly number[]
  /** What is emptied once all parts are written. */
  readonly remove: readonly number[]
}

/**
 * Where a new set goes. It leaves the newest whole one alone where both fit, so that whoever looks in the middle finds
 * one of them whole; only when they do not is the old one overwritten, as late as possible.
 */
export function planSlots(parts: number, { whole, others }: SlotsInUse): SlotPlan {
  const all = Array.from({ length: BOOT_SLOTS }, (_, slot) => slot)
  const free = all.filter((slot) => !whole.includes(slot))
  const write = [...free, ...whole].slice(0, parts)
  const remove = [...whole, ...others].filter((slot) => !write.includes(slot)).sort((a, b) => a - b)
  return { write, remove }
}

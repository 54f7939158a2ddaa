import { BOOT_SLOTS } from '../../api/index.ts'

/** What stands in the slots now. */
export type SlotsInUse = {
  /** Those of the newest whole set. */
  readonly whole: readonly number[]
  /** Those that hold anything else: parts of an older set, or of one that was never finished. */
  readonly others: readonly number[]
  /** Those that cannot be had. */
  readonly taken?: readonly number[]
}

export type SlotPlan = {
  /** The slot of each part, in the order in which they are written; fewer than parts where there is no room. */
  readonly write: readonly number[]
  /** What is emptied once all parts are written. */
  readonly remove: readonly number[]
}

/**
 * Where a new set goes: first where nothing is, as what looks unfinished may be made whole by a write that is still on its
 * way. It leaves the newest whole one alone where both fit, so that whoever looks in the middle finds one of them whole;
 * only when they do not is the old one overwritten, as late as possible.
 */
export function planSlots(parts: number, { whole, others, taken = [] }: SlotsInUse): SlotPlan {
  const all = Array.from({ length: BOOT_SLOTS }, (_, slot) => slot)
  const inUse = new Set([...whole, ...others, ...taken])
  const free = all.filter((slot) => !inUse.has(slot))
  const write = [...free, ...others, ...whole].slice(0, parts)
  const remove = [...whole, ...others].filter((slot) => !write.includes(slot)).sort((a, b) => a - b)
  return { write, remove }
}

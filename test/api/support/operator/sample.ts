import { randomInt } from 'node:crypto'

export type SampleOptions = {
  /** How many of the first and of the last are always taken. */
  readonly edge: number
  /** How many of those between are taken by chance. */
  readonly others: number
  readonly seed?: number
}

/** Numbers from 0 to below `count`, in order: all where there are few. The same seed takes the same. */
export function sample(
  count: number,
  { edge, others, seed = randomInt(2 ** 31) }: SampleOptions,
): { readonly chosen: readonly number[]; readonly seed: number } {
  const random = randomFrom(seed)
  const isEdge = (number: number) => number < edge || number >= count - edge
  const all = Array.from({ length: count }, (_, number) => number)
  const byChance = all
    .filter((number) => !isEdge(number))
    .map((number) => ({ number, order: random() }))
    .sort((a, b) => a.order - b.order)
    .slice(0, others)
  const taken = new Set(byChance.map(({ number }) => number))
  return { chosen: all.filter((number) => isEdge(number) || taken.has(number)), seed }
}

/** mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { BOOT_SLOTS, bootSetText, decodeBootSet, hashText } from '../../api/index.ts'
import { planSlots, type SlotPlan, type SlotsInUse } from './plan.ts'

describe('a new set', () => {
  test.each<[string, number, SlotsInUse, SlotPlan]>([
    ['begins at the first slot', 2, { whole: [], others: [] }, { write: [0, 1], remove: [] }],
    ['leaves the present one alone', 2, { whole: [0, 1], others: [] }, { write: [2, 3], remove: [0, 1] }],
    ['goes back to the first slots', 2, { whole: [2, 3], others: [] }, { write: [0, 1], remove: [2, 3] }],
    ['goes first where nothing is', 2, { whole: [0], others: [1, 7] }, { write: [2, 3], remove: [0, 1, 7] }],
    ['leaves out what cannot be had', 2, { whole: [0], others: [], taken: [1, 3] }, { write: [2, 4], remove: [0] }],
    [
      'is short where nothing is left',
      8,
      { whole: [1], others: [], taken: [0] },
      { write: [2, 3, 4, 5, 6, 7, 1], remove: [] },
    ],
    [
      'overwrites what is no whole set where there is no other room',
      6,
      { whole: [0], others: [1, 7] },
      { write: [2, 3, 4, 5, 6, 1], remove: [0, 7] },
    ],
    [
      'takes slots of the present one last where both do not fit',
      5,
      { whole: [0, 1, 2, 3, 4], others: [] },
      { write: [5, 6, 7, 0, 1], remove: [2, 3, 4] },
    ],
  ])('%s', (_what, parts, inUse, expected) => {
    expect(planSlots(parts, inUse)).toEqual(expected)
  })
})

/** A small set in so many parts, which `cutBootSet` would only make of a large one. */
const partsOf = (total: number, sequence: number): Uint8Array[] => {
  const set = { runtime: 't/r', claim: `t/r/${sequence}`, fence: 1, items: {}, bundles: {}, secrets: {}, pins: {} }
  const packed = gzipSync(bootSetText(set))
  const size = Math.ceil(packed.length / total)
  return Array.from({ length: total }, (_, index) => {
    const header = { set: hashText(packed), index, total, fence: 1, sequence, writtenAt: '' }
    return Buffer.concat([
      Buffer.from(`${JSON.stringify(header)}\n`),
      packed.subarray(index * size, (index + 1) * size),
    ])
  })
}

type Write = { readonly parts: number; readonly breaksOffAfter: number }

/** Slots as an API server keeps them, written to by one operator after the other. */
class Slots {
  readonly #slots = new Map<number, Uint8Array>()
  #sequence = 0

  get found() {
    return decodeBootSet(this.#slots).found
  }

  /** Writes a set, or begins to, and looks after every step. */
  write({ parts, breaksOffAfter }: Write): void {
    const { found: before } = this
    const whole = before?.slots ?? []
    const plan = planSlots(parts, { whole, others: [...this.#slots.keys()].filter((slot) => !whole.includes(slot)) })
    this.#sequence += 1
    const content = partsOf(parts, this.#sequence)
    const steps = [
      ...plan.write.map((slot, part) => () => void this.#slots.set(slot, content[part] as Uint8Array)),
      ...plan.remove.map((slot) => () => void this.#slots.delete(slot)),
    ]
    const fits = parts + whole.length <= BOOT_SLOTS
    for (const [done, step] of steps.slice(0, breaksOffAfter).entries()) {
      step()
      const isWritten = done + 1 >= parts
      if (isWritten) expect(this.found?.stamp.sequence).toBe(this.#sequence)
      else if (fits) expect(this.found?.stamp.sequence).toBe(before?.stamp.sequence)
    }
    if (breaksOffAfter >= steps.length) expect([...this.#slots.keys()].sort()).toEqual([...plan.write].sort())
  }
}

test('at every moment of any series of writes, some of which break off, a whole set is there if two of them fit', () => {
  const write = fc.record({ parts: fc.integer({ min: 1, max: BOOT_SLOTS }), breaksOffAfter: fc.nat(12) })
  fc.assert(
    fc.property(fc.array(write, { minLength: 1, maxLength: 10 }), (writes) => {
      const slots = new Slots()
      for (const each of writes) slots.write(each)
    }),
    { numRuns: 80, seed: 21 },
  )
})

import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  BOOT_PART_BYTES,
  BOOT_SET_BYTES,
  BOOT_TEXT_BYTES,
  type BootSet,
  bootSetKey,
  cutBootSet,
  decodeBootSet,
  encodeBootSet,
} from './boot-set.ts'

const STAMP = { sequence: 1, writtenAt: '2026-01-01T00:00:00Z' }
const CUT = { ...STAMP, fence: 5 }
const SECRET = 'sk-canary-0a1b2c3d'
const hashes = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 32, maxLength: 32 })
const names = fc.constantFrom('a', 'b', 'c', 'support')
const record = <T>(keys: fc.Arbitrary<string>, values: fc.Arbitrary<T>) =>
  fc.dictionary(keys, values, { noNullPrototype: true, maxKeys: 4 })
// Through JSON once: it knows no -0.
const anything = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown)
const sets: fc.Arbitrary<BootSet> = fc.record({
  version: fc.constant(1 as const),
  runtime: fc.constant('team/main'),
  claim: fc.constant('team/main/uid'),
  fence: fc.nat(),
  items: record(
    fc.oneof(
      fc.constant('settings'),
      names.map((name) => `agents/${name}`),
    ),
    fc.record({ owner: fc.constant('operator' as const), revision: hashes, definition: anything }),
  ),
  bundles: record(
    names,
    fc.record({
      hash: hashes,
      files: record(names, fc.oneof(fc.record({ text: fc.string() }), fc.constant({ base64: 'AAEC' }))),
    }),
  ),
  secrets: record(names, fc.record({ version: fc.string(), value: fc.string() })),
  pins: record(names, hashes),
})
/** Not to be squeezed. */
const noise = (bytes: number, seed: number): string => {
  let state = seed
  const out = Buffer.alloc(bytes)
  for (let index = 0; index < bytes; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    out[index] = state >>> 24
  }
  return out.toString('base64')
}
const plain = (more: Partial<BootSet> = {}): BootSet => ({
  ...{ version: 1, runtime: 'team/main', claim: 'team/main/uid', fence: 5 },
  ...{ items: {}, bundles: {}, pins: {}, secrets: { 'llm/key': { version: '1', value: SECRET } } },
  ...more,
})
const large = (bytes: number, seed: number) =>
  plain({ secrets: { big: { version: `${seed}`, value: noise(bytes, seed) } } })
const inSlots = (parts: readonly Uint8Array[], first = 0) => new Map(parts.map((part, index) => [first + index, part]))

describe('a boot set', () => {
  test('is read as it was written, whatever it holds', () => {
    fc.assert(
      fc.property(sets, fc.nat(), (set, sequence) => {
        const stamp = { ...STAMP, sequence }
        const { found, problems } = decodeBootSet(inSlots(encodeBootSet(set, stamp)))
        expect(problems).toEqual([])
        expect(found).toEqual({ set, stamp, slots: [0] })
      }),
      { numRuns: 200, seed: 11 },
    )
  })

  test('has the same bytes and the same key in whatever order its entries come', () => {
    const reversed = <T>(value: Record<string, T>) => Object.fromEntries(Object.entries(value).reverse())
    fc.assert(
      fc.property(sets, (set) => {
        const { items, bundles, secrets, pins } = set
        const other = { pins: reversed(pins), secrets: reversed(secrets), bundles: reversed(bundles) }
        const same = { ...set, ...other, items: reversed(items) }
        expect(encodeBootSet(same, STAMP)).toEqual(encodeBootSet(set, STAMP))
        expect(bootSetKey(same)).toBe(bootSetKey(set))
      }),
      { numRuns: 100, seed: 12 },
    )
  })

  test('has another key when a revision, a hash, a version or a pin differs, and the same under another fence', () => {
    const item = { owner: 'operator' as const, revision: '1'.repeat(32), definition: {} }
    const set = plain({ items: { settings: item }, bundles: { files: { hash: '2'.repeat(32), files: {} } } })
    const keys = [
      set,
      { ...set, items: { settings: { ...item, revision: '3'.repeat(32) } } },
      { ...set, bundles: { files: { hash: '3'.repeat(32), files: {} } } },
      { ...set, secrets: { 'llm/key': { version: '2', value: SECRET } } },
      { ...set, pins: { files: '2'.repeat(32) } },
      { ...set, claim: 'team/main/other' },
    ].map(bootSetKey)
    expect(new Set(keys).size).toBe(keys.length)
    const later: BootSet = { ...set, fence: 6 }
    expect(bootSetKey(later)).toBe(bootSetKey(set))
  })

  test('is cut into parts that a Secret holds', () => {
    const parts = encodeBootSet(large(2_500_000, 1), STAMP)
    expect(parts.length).toBeGreaterThan(2)
    for (const { length } of parts) expect(length).toBeLessThanOrEqual(BOOT_PART_BYTES)
    expect(decodeBootSet(inSlots(parts)).found?.set).toEqual(large(2_500_000, 1))
    expect(cutBootSet(new Uint8Array(BOOT_SET_BYTES), CUT)).toHaveLength(8)
  })
})

describe('of the parts of several sets', () => {
  const older = encodeBootSet(large(1_200_000, 1), { ...STAMP, sequence: 7 })
  const newer = encodeBootSet(large(2_200_000, 2), { ...STAMP, sequence: 8 })
  const all = [...older, ...newer]

  /** Sequence of the newest whole set among these parts. */
  const newestOf = (chosen: readonly number[]): number | undefined => {
    const isThere = (part: number) => chosen.includes(part)
    if (newer.every((_, index) => isThere(older.length + index))) return 8
    return older.every((_, index) => isThere(index)) ? 7 : undefined
  }

  test('the newest whole one is read, or none, whichever parts are missing and wherever they stand', () => {
    expect(all.length).toBeLessThanOrEqual(8)
    fc.assert(
      fc.property(fc.shuffledSubarray([...all.keys()], { minLength: 1 }), (chosen) => {
        const slots = new Map(chosen.map((part, slot) => [slot, all[part] as Uint8Array]))
        const expected = newestOf(chosen)
        const { found, problems, lastSequence } = decodeBootSet(slots)
        expect([found?.stamp.sequence, Number(found?.set.secrets.big?.version) + 6 || undefined]).toEqual([
          expected,
          expected,
        ])
        expect(lastSequence).toBe(chosen.some((part) => part >= older.length) ? 8 : 7)
        expect(problems.length > 0 || expected !== undefined).toBe(true)
      }),
      { numRuns: 100, seed: 13 },
    )
  })

  test('that of the highest fence is read, however late a former leader’s came, and without a fence it is the lowest', () => {
    const [present] = encodeBootSet(plain({ fence: 6 }), { ...STAMP, sequence: 2 })
    const [late] = encodeBootSet(plain({ fence: 5 }), { ...STAMP, sequence: 9 })
    const [unmarked] = encodeBootSet(plain({ fence: 0 }), { ...STAMP, sequence: 10 })
    const old = Buffer.from(
      Buffer.from(unmarked as Uint8Array)
        .toString('latin1')
        .replace('"fence":0,', ''),
      'latin1',
    )
    const slots = new Map([old, late, present].map((part, slot) => [slot, part as Uint8Array]))
    expect(decodeBootSet(slots)).toMatchObject({ found: { slots: [2] }, problems: [], lastSequence: 10, lastFence: 6 })
    slots.delete(2)
    expect(decodeBootSet(slots)).toMatchObject({ found: { slots: [1] }, lastFence: 5 })
    slots.delete(1)
    expect(decodeBootSet(slots)).toMatchObject({ found: { slots: [0] }, lastFence: 0 })
  })

  test('one with a byte changed in any part is none, and the older one counts', () => {
    fc.assert(
      fc.property(fc.nat(newer.length - 1), fc.nat(100_000), (part, at) => {
        const damaged = newer.map((bytes, index) => {
          if (index !== part) return bytes
          const copy = Buffer.from(bytes)
          const place = 200 + (at % (copy.length - 200))
          copy[place] = (copy[place] ?? 0) ^ 1
          return copy
        })
        const { found, problems } = decodeBootSet(inSlots([...older, ...damaged]))
        expect(found?.stamp.sequence).toBe(7)
        expect(problems).toHaveLength(1)
      }),
      { numRuns: 30, seed: 14 },
    )
  })
})

describe('what is no boot set', () => {
  const cut = (content: string | Uint8Array) => inSlots(cutBootSet(gzipSync(content), CUT))
  test.each<[string, ReadonlyMap<number, Uint8Array>, string]>([
    ['nothing at all', new Map([[0, Buffer.alloc(0)]]), 'part-0 is no part of a boot set'],
    ['somebody else’s file', new Map([[3, Buffer.from('{"a":1}\nhello')]]), 'part-3 is no part of a boot set'],
    [
      'a part that is too large',
      new Map([[0, Buffer.alloc(BOOT_PART_BYTES + 1)]]),
      'part-0 has more than 1000000 bytes: it is no part of a boot set',
    ],
    ['half a set', inSlots(encodeBootSet(large(1_200_000, 3), STAMP).slice(0, 1)), 'is not whole: 1 of its 2 parts'],
    ['what is not packed', inSlots(cutBootSet(Buffer.from('plain'), CUT)), 'cannot be unpacked'],
    ['what unpacks without end', cut(Buffer.alloc(BOOT_TEXT_BYTES + 1)), 'cannot be unpacked'],
    ['text that is no JSON', cut('{'), 'is not valid at its root'],
    ['a newer version', cut('{"version":2,"what":"else"}'), 'is of version 2, this build reads 1'],
    [
      'a value in the wrong place',
      cut(JSON.stringify({ ...plain(), secrets: { 'llm/key': SECRET } })),
      'is not valid at secrets.llm/key',
    ],
  ])('is told apart: %s', (_what, slots, problem) => {
    const { found, problems } = decodeBootSet(slots)
    expect(found).toBeUndefined()
    expect(problems.join()).toContain(problem)
    expect(problems.join()).not.toContain(SECRET)
  })
})

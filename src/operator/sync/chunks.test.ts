import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { SETTINGS_ID } from '../../api/index.ts'
import { agent, settings } from '../../runtime/registry/registry.fixture.ts'
import { CHUNK_CHARACTERS, CHUNK_ITEMS, firstChunk } from './chunks.ts'
import type { Difference } from './difference.ts'

/** Longer ones than any schema admits too: a call is bounded whatever comes. */
const itemOf = (name: string, length: number) => {
  const plain = agent(name)
  return {
    owner: 'operator' as const,
    revision: name,
    definition: { ...plain, spec: { ...plain.spec, instructions: 'x'.repeat(length) } },
  }
}
const bundleOf = (length: number) => ({ hash: 'h', files: { 'a.md': { text: 'x'.repeat(length) } } })

function whole(items: readonly number[], bundles: readonly number[], hasSettings = true): Difference {
  const ownSettings = { owner: 'operator' as const, revision: 's', definition: settings() }
  return {
    items: {
      ...Object.fromEntries(items.map((length, index) => [`agents/a${index}`, itemOf(`a${index}`, length)])),
      ...(hasSettings && { [SETTINGS_ID]: ownSettings }),
    },
    bundles: Object.fromEntries(bundles.map((length, index) => [`b${index}`, bundleOf(length)])),
    secrets: { 's/k': { version: '1', value: 'v' } },
    remove: { items: ['agents/gone'], bundles: ['gone'], secrets: [] },
    pins: { p: 'h' },
  }
}

/** The parts that a pod is given, each of what the ones before have left. */
function partsOf(all: Difference): Difference[] {
  const parts: Difference[] = []
  for (let rest = all; ; ) {
    const { part, isLast } = firstChunk(rest)
    parts.push(part)
    if (isLast) return parts
    const without = <T>(record: Record<string, T>, taken: object) =>
      Object.fromEntries(Object.entries(record).filter(([key]) => !Object.hasOwn(taken, key)))
    const { pins: _, ...others } = rest
    rest = {
      ...others,
      secrets: {},
      items: without(rest.items, part.items),
      bundles: without(rest.bundles, part.bundles),
    }
    if (parts.length > 2000) throw new Error('it never ends')
  }
}

const charactersOf = ({ items, bundles }: Difference): number[] => [
  ...Object.entries(items).flatMap(([id, { definition }]) =>
    id === SETTINGS_ID ? [] : [JSON.stringify(definition).length],
  ),
  ...Object.values(bundles).map(({ files }) =>
    Object.values(files).reduce((sum, file) => sum + ('text' in file ? file.text.length : 0), 0),
  ),
]

test('what fits goes in one call', () => {
  const all = whole([1, 2], [3])
  expect(partsOf(all)).toEqual([all])
})

test('one call holds at most 500 items', () => {
  const parts = partsOf(
    whole(
      Array.from({ length: 1001 }, () => 1),
      [],
    ),
  )
  expect(parts.map(({ items }) => Object.keys(items).length)).toEqual([501, 500, 1])
})

test('an entry that is larger than a call goes alone', () => {
  const parts = partsOf(whole([1, CHUNK_CHARACTERS + 1, 1], [], false))
  expect(parts.map(({ items }) => Object.keys(items))).toEqual([['agents/a0'], ['agents/a1'], ['agents/a2']])
})

test('the settings come with the first call, as they decide what becomes of bundles', () => {
  const parts = partsOf(whole([1], [CHUNK_CHARACTERS, CHUNK_CHARACTERS]))
  expect(parts.map(({ items, bundles }) => [...Object.keys(items), ...Object.keys(bundles)])).toEqual([
    [SETTINGS_ID, 'b0'],
    ['b1'],
    ['agents/a0'],
  ])
})

test('the parts are exactly the whole, none is too large, and what goes is told last', () => {
  const size = fc.oneof(fc.nat(100), fc.nat(CHUNK_CHARACTERS + 1000))
  const sizes = fc.oneof(fc.array(size, { maxLength: 6 }), fc.array(fc.nat(20), { minLength: 490, maxLength: 1100 }))
  fc.assert(
    fc.property(sizes, fc.array(size, { maxLength: 5 }), fc.boolean(), (items, bundles, hasSettings) => {
      const all = whole(items, bundles, hasSettings)
      const parts = partsOf(all)
      expect(Object.assign({}, ...parts.map((part) => part.items))).toEqual(all.items)
      expect(Object.assign({}, ...parts.map((part) => part.bundles))).toEqual(all.bundles)
      const names = parts.flatMap((part) => [...Object.keys(part.items), ...Object.keys(part.bundles)])
      expect(new Set(names).size).toBe(names.length)
      expect(parts.map(({ secrets, pins }) => [secrets, pins])).toEqual(
        parts.map((_, index) => (index === 0 ? [all.secrets, all.pins] : [{}, undefined])),
      )
      const nothing = { items: [], bundles: [], secrets: [] }
      expect(parts.map(({ remove }) => remove)).toEqual(
        parts.map((part) => (part === parts.at(-1) ? all.remove : nothing)),
      )
      for (const part of parts) {
        const lengths = charactersOf(part).filter((length) => length > 0)
        expect(charactersOf(part).length).toBeLessThanOrEqual(CHUNK_ITEMS)
        const sum = lengths.reduce((total, length) => total + length, 0)
        expect(sum <= CHUNK_CHARACTERS || lengths.length === 1).toBe(true)
      }
      const lastBundle = parts.findLastIndex((part) => Object.keys(part.bundles).length > 0)
      const firstItem = parts.findIndex((part) => Object.keys(part.items).some((id) => id !== SETTINGS_ID))
      expect(firstItem === -1 || lastBundle <= firstItem).toBe(true)
    }),
    { numRuns: 40, seed: 31 },
  )
})

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { SETTINGS_ID } from '../../api/index.ts'
import { agent, push, settings } from '../../runtime/registry/registry.fixture.ts'
import type { Desired, Verdict } from '../ports.ts'
import { bundleUnit } from '../unit-id.ts'
import { type BundleInput, type PlaceInput, place } from './place.ts'

const item = (name: string, revision: string) => [
  name === SETTINGS_ID ? SETTINGS_ID : `agents/${name}`,
  {
    ref: { kind: 'Agent' as const, name },
    revision,
    definition: name === SETTINGS_ID ? settings() : agent(name),
  },
]
const compiledOf = (
  revisions: Readonly<Record<string, string>>,
  held: readonly string[] = [],
): PlaceInput['compiled'] => ({
  items: new Map(Object.entries(revisions).map(([name, revision]) => item(name, revision) as never)),
  held: new Set(held),
  problems: [],
  bundles: [],
  secrets: [],
})
const files = (text: string): BundleInput => ({ type: 'files', push: push({ 'prompts/a.md': text }) })
const hashOf = (text: string): string => push({ 'prompts/a.md': text }).hash
const refused = (revisions: Readonly<Record<string, string>>): Map<string, Verdict> =>
  new Map(Object.entries(revisions).map(([unit, revision]) => [unit, { revision, failures: [] }]))

const input = (parts: Partial<PlaceInput> = {}): PlaceInput => ({
  signature: { fence: 7, claim: 'team/main/uid', isWhole: true },
  compiled: compiledOf({}),
  bundles: new Map(),
  secrets: new Map(),
  unknownSecrets: new Set(),
  held: new Set(),
  verdicts: new Map(),
  before: undefined,
  ...parts,
})

const revisionsIn = ({ items }: Desired) => Object.fromEntries([...items].map(([id, { revision }]) => [id, revision]))
const hashesIn = ({ bundles }: Desired) => Object.fromEntries([...bundles].map(([name, { hash }]) => [name, hash]))

describe('an item', () => {
  test('is placed as it is declared', () => {
    const desired = place(input({ compiled: compiledOf({ a: '2' }), before: place(input()) }))
    expect(revisionsIn(desired)).toEqual({ 'agents/a': '2' })
    expect(desired.held.size).toBe(0)
    expect(desired).toMatchObject({ fence: 7, claim: 'team/main/uid', owner: 'operator' })
  })

  const before = place(input({ compiled: compiledOf({ a: '1' }) }))
  const isHeld = { items: { 'agents/a': '1' }, held: ['agents/a'] }
  test.each<[string, Partial<PlaceInput>]>([
    ['that is impossible as declared', { compiled: compiledOf({}, ['agents/a']) }],
    ['that a check refused', { compiled: compiledOf({ a: '2' }), verdicts: refused({ 'agents/a': '2' }) }],
    ['that may not be placed yet', { compiled: compiledOf({ a: '2' }), held: new Set(['agents/a']) }],
  ])('%s stays what was placed before', (_, parts) => {
    const desired = place(input({ ...parts, before }))
    expect({ items: revisionsIn(desired), held: [...desired.held] }).toEqual(isHeld)
  })

  test('that never was placed is held as each pod has it', () => {
    const desired = place(input({ compiled: compiledOf({ a: '2' }), verdicts: refused({ 'agents/a': '2' }) }))
    expect({ items: revisionsIn(desired), held: [...desired.held] }).toEqual({ items: {}, held: ['agents/a'] })
  })

  test('that was refused is placed no more, though it was placed before it was asked about', () => {
    const asked = place(input({ compiled: compiledOf({ a: '2' }) }))
    const verdicts = refused({ 'agents/a': '2' })
    expect(place(input({ compiled: compiledOf({ a: '2' }), verdicts, before: asked })).items.size).toBe(0)
  })

  test('is placed when another revision of it was refused', () => {
    const verdicts = refused({ 'agents/a': '2' })
    const desired = place(input({ compiled: compiledOf({ a: '3' }), verdicts, before }))
    expect(revisionsIn(desired)).toEqual({ 'agents/a': '3' })
  })

  test('that is declared no more is gone', () => {
    const desired = place(input({ before }))
    expect(desired.items.size + desired.held.size).toBe(0)
  })
})

describe('a bundle', () => {
  const before = place(input({ bundles: new Map([['b', files('one')]]) }))
  const placed = (bundle: BundleInput | undefined, last?: Desired, verdict?: string) => {
    const bundles = new Map(bundle ? [['b', bundle]] : [])
    const verdicts = refused(verdict === undefined ? {} : { [bundleUnit('b')]: verdict })
    const desired = place(input({ bundles, verdicts, before: last }))
    return { bundles: hashesIn(desired), kept: desired.kept, pins: Object.fromEntries(desired.pins) }
  }

  test.each<[string, ReturnType<typeof placed>, object]>([
    ['with files is pushed', placed(files('two'), before), { bundles: { b: hashOf('two') } }],
    [
      'of which nothing is known is what was pushed',
      placed({ type: 'unknown' }, before),
      { bundles: { b: hashOf('one') } },
    ],
    ['of which nothing ever was known is left as it is', placed({ type: 'unknown' }), { kept: new Set(['b']) }],
    ['whose ConfigMap is gone is removed', placed({ type: 'gone' }, before), {}],
    ['that is declared no more is removed', placed(undefined, before), {}],
    [
      'that was refused is pinned at the last good one',
      placed(files('two'), before, hashOf('two')),
      { bundles: { b: hashOf('one') }, pins: { b: hashOf('one') } },
    ],
    [
      'that was refused with none before is left as it is',
      placed(files('two'), undefined, hashOf('two')),
      { kept: new Set(['b']) },
    ],
    [
      'of which another version was refused is pushed',
      placed(files('three'), before, hashOf('two')),
      { bundles: { b: hashOf('three') } },
    ],
  ])('%s', (_, result, expected) => {
    expect(result).toEqual({ bundles: {}, kept: new Set(), pins: {}, ...expected })
  })
})

describe('settings that are impossible as declared', () => {
  const compiled = compiledOf({}, [SETTINGS_ID])

  test('leave the bundles, pins and secrets that were placed', () => {
    const before: Desired = {
      ...place(
        input({ bundles: new Map([['b', files('one')]]), secrets: new Map([['s/k', { version: '1', value: 'v' }]]) }),
      ),
      pins: new Map([['b', hashOf('one')]]),
    }
    const { bundles, pins, secrets } = place(input({ compiled, before }))
    expect({ bundles, pins, secrets }).toEqual({ bundles: before.bundles, pins: before.pins, secrets: before.secrets })
  })

  test('take nothing out of the pods, even when nothing was placed before', () => {
    expect(place(input({ compiled }))).toMatchObject({ kept: 'all', keptSecrets: 'all' })
  })
})

test('a secret of which nothing is known stays, one that is missing goes', () => {
  const one = { version: '1', value: 'v' }
  const before = place(
    input({
      secrets: new Map([
        ['a/k', one],
        ['b/k', one],
        ['c/k', one],
      ]),
    }),
  )
  const desired = place(
    input({ secrets: new Map([['c/k', { version: '2', value: 'w' }]]), unknownSecrets: new Set(['a/k']), before }),
  )
  expect(Object.fromEntries(desired.secrets)).toEqual({ 'a/k': one, 'c/k': { version: '2', value: 'w' } })
  expect(desired.keptSecrets).toEqual(new Set(['a/k']))
})

describe('of any inputs', () => {
  const names = ['a', 'b', 'c', SETTINGS_ID]
  const versions = fc.constantFrom('1', '2', '3')
  const bundle = fc.oneof(versions.map(files), fc.constantFrom<BundleInput>({ type: 'unknown' }, { type: 'gone' }))
  const step = fc.record({
    revisions: fc.dictionary(fc.constantFrom(...names), versions, { noNullPrototype: true }),
    held: fc.subarray(names),
    refusedItems: fc.dictionary(fc.constantFrom(...names), versions, { noNullPrototype: true }),
    bundles: fc.dictionary(fc.constantFrom('x', 'y'), bundle, { noNullPrototype: true }),
    refusedBundles: fc.dictionary(fc.constantFrom('x', 'y'), versions, { noNullPrototype: true }),
    unguarded: fc.subarray(['agents/a', 'agents/b']),
  })
  const idOf = (name: string) => (name === SETTINGS_ID ? name : `agents/${name}`)
  const inputOf = (each: typeof step extends fc.Arbitrary<infer S> ? S : never, before: Desired | undefined) => {
    const impossible = each.held.filter((name) => !Object.hasOwn(each.revisions, name)).map(idOf)
    return input({
      compiled: compiledOf(each.revisions, impossible),
      held: new Set(each.unguarded.filter((id) => Object.hasOwn(each.revisions, id.slice('agents/'.length)))),
      bundles: new Map(impossible.includes(SETTINGS_ID) ? [] : Object.entries(each.bundles)),
      verdicts: refused({
        ...Object.fromEntries(Object.entries(each.refusedItems).map(([name, revision]) => [idOf(name), revision])),
        ...Object.fromEntries(
          Object.entries(each.refusedBundles).map(([name, text]) => [bundleUnit(name), hashOf(text)]),
        ),
      }),
      before,
    })
  }

  const inTurn = (property: (next: PlaceInput, desired: Desired) => void) =>
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      let before: Desired | undefined
      for (const each of steps) {
        const next = inputOf(each, before)
        const desired = place(next)
        property(next, desired)
        before = desired
      }
    })

  /** What becomes of an item, said the other way round: from each id. */
  function expectedItem(id: string, { compiled, held, verdicts, before }: PlaceInput): string | undefined {
    const declared = compiled.items.get(id)?.revision
    const refusedRevision = verdicts.get(id)?.revision
    const isDeclared = declared !== undefined || compiled.held.has(id)
    if (!isDeclared) return undefined
    if (declared !== undefined && declared !== refusedRevision && !held.has(id)) return declared
    const last = before?.items.get(id)?.revision
    return last === refusedRevision ? undefined : last
  }

  test('an item is desired as it is declared, unless it may not be: then as it was last', () => {
    fc.assert(
      inTurn((next, desired) => {
        const ids = new Set([...next.compiled.items.keys(), ...next.compiled.held, ...desired.items.keys()])
        const expected = [...ids].map((id) => [id, expectedItem(id, next)])
        expect([...ids].map((id) => [id, desired.items.get(id)?.revision])).toEqual(expected)
        const isLeftOut = ([id, { revision }]: [string, { revision: string }]) =>
          desired.items.get(id)?.revision !== revision
        // Nothing is taken out of a pod that is declared in any way.
        for (const [id] of [...next.compiled.items].filter(isLeftOut)) expect(desired.held.has(id)).toBe(true)
        for (const id of next.compiled.held) expect(desired.held.has(id)).toBe(true)
      }),
      { numRuns: 300, seed: 11 },
    )
  })

  /** What becomes of a bundle: its hash, `=` where it is pinned, `kept` as each pod has it, undefined where it goes. */
  function expectedBundle(name: string, { bundles, verdicts, before }: PlaceInput): string | undefined {
    const declared = bundles.get(name)
    const last = before?.bundles.get(name)?.hash
    const refusedHash = verdicts.get(bundleUnit(name))?.revision
    if (declared?.type === 'unknown') return last ?? 'kept'
    if (declared?.type !== 'files') return undefined
    if (declared.push.hash !== refusedHash) return declared.push.hash
    return last === undefined || last === refusedHash ? 'kept' : `=${last}`
  }

  const shownBundle = (name: string, { bundles, kept, pins }: Desired): string | undefined => {
    const pin = pins.get(name)
    const hash = bundles.get(name)?.hash
    if (hash !== undefined) return pin === undefined ? hash : `=${pin}`
    return kept === 'all' || kept.has(name) ? 'kept' : undefined
  }

  test('a bundle is pushed as it is, unless it was refused: then it is pinned as it was last', () => {
    fc.assert(
      inTurn((next, desired) => {
        if (next.compiled.held.has(SETTINGS_ID)) {
          const last = { bundles: next.before?.bundles ?? new Map(), pins: next.before?.pins ?? new Map(), kept: 'all' }
          expect(desired).toMatchObject(last)
          return
        }
        const both = ['x', 'y']
        const expected = both.map((name) => expectedBundle(name, next))
        expect(both.map((name) => shownBundle(name, desired))).toEqual(expected)
      }),
      { numRuns: 300, seed: 13 },
    )
  })

  test('placing again on what was placed changes nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
        let before: Desired | undefined
        for (const each of steps) {
          const desired = place(inputOf(each, before))
          expect(place(inputOf(each, desired))).toEqual(desired)
          before = desired
        }
      }),
      { numRuns: 300, seed: 12 },
    )
  })
})

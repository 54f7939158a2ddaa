import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { agent, push } from '../../../runtime/registry/registry.fixture.ts'
import type { Desired } from '../../ports.ts'
import { lastGood } from './placement.ts'

const pushed = (text: string) => push({ 'tools/x.ts': text })
const BARE: Omit<Desired, 'items' | 'bundles'> = {
  ...{ owner: 'operator', fence: 1, claim: 'team/main/uid', isWhole: true },
  ...{ held: new Set(), kept: new Set(), pins: new Map(), secrets: new Map(), keptSecrets: new Set() },
}
const placed = (items: Readonly<Record<string, string>>, bundles: Readonly<Record<string, string>> = {}): Desired => ({
  ...BARE,
  items: new Map(Object.entries(items).map(([id, revision]) => [id, { revision, definition: agent('any') }])),
  bundles: new Map(Object.entries(bundles).map(([name, text]) => [name, pushed(text)])),
})
const shown = ({ items, bundles }: Desired) => ({
  ...Object.fromEntries([...items].map(([id, { revision }]) => [id, revision])),
  ...Object.fromEntries([...bundles].map(([name, { hash }]) => [name, hash])),
})
const none = () => false

describe('what is gone back to', () => {
  test.each<[string, Desired | undefined, Desired, (unit: string, revision: string) => boolean, object]>([
    ['is what was placed first', undefined, placed({ a: '1' }), none, { a: '1' }],
    ['stays while nobody knows of the new revision', placed({ a: '1' }), placed({ a: '2' }), none, { a: '1' }],
    ['is the new revision once it is good', placed({ a: '1' }), placed({ a: '2' }), () => true, { a: '2' }],
    ['leaves out what is placed no more', placed({ a: '1', b: '1' }), placed({ a: '1' }), none, { a: '1' }],
    ['has what was never placed before', placed({ a: '1' }), placed({ a: '1', b: '1' }), none, { a: '1', b: '1' }],
    ['is a bundle’s last files', placed({}, { x: 'one' }), placed({}, { x: 'two' }), none, { x: pushed('one').hash }],
    [
      'is a bundle’s new files once they are good',
      placed({}, { x: 'one' }),
      placed({}, { x: 'two' }),
      (unit, hash) => unit === 'bundle/x' && hash === pushed('two').hash,
      { x: pushed('two').hash },
    ],
  ])('%s', (...[, before, now, isGood, expected]) => {
    expect(shown(lastGood(before, now, isGood))).toEqual(expected)
  })
})

test('it always has what is placed, each as it is or as it was, and as it is only when that is good or all there is', () => {
  const revisions = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2', '3'), {
    noNullPrototype: true,
  })
  fc.assert(
    fc.property(fc.array(revisions, { minLength: 1, maxLength: 8 }), fc.subarray(['1', '2']), (steps, good) => {
      let before: Desired | undefined
      for (const step of steps) {
        const now = placed(step)
        const next = lastGood(before, now, (_, revision) => good.includes(revision))
        const expected = Object.entries(step).map(([id, revision]) => {
          const last = before?.items.get(id)?.revision
          return [id, good.includes(revision) ? revision : (last ?? revision)]
        })
        expect(shown(next)).toEqual(Object.fromEntries(expected))
        before = next
      }
    }),
    { numRuns: 200, seed: 61 },
  )
})

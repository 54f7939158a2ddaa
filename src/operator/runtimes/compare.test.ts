import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { covers } from './compare.ts'

describe('what is wanted is there', () => {
  test.each<[string, unknown, unknown]>([
    ['beside what the server added', { a: 1, b: { c: 'x', d: 'default' } }, { b: { c: 'x' } }],
    ['where nothing was wanted and nothing is', {}, { a: {}, b: [], c: false, d: 0, e: '', f: null }],
    ['in another order of names', [{ name: 'b' }, { name: 'a', x: 1 }], [{ name: 'a' }, { name: 'b' }]],
    ['beside an entry of somebody else', [{ name: 'a' }, { name: 'sidecar' }], [{ name: 'a' }]],
    [
      'in mounts of one volume at two places',
      [
        { name: 'v', mountPath: '/b' },
        { name: 'v', mountPath: '/a' },
      ],
      [{ name: 'v', mountPath: '/a' }],
    ],
    [
      'in an amount that is written anew',
      { limits: { cpu: '1', memory: '1Gi' } },
      { limits: { cpu: '1000m', memory: '1024Mi' } },
    ],
    ['in an amount that was a number', { requests: { cpu: '2' } }, { requests: { cpu: 2 } }],
    ['in an amount with an exponent', { sizeLimit: '1k' }, { sizeLimit: '1e3' }],
  ])('%s', (_, live, wanted) => {
    expect(covers(live, wanted)).toBe(true)
  })
})

describe('what is wanted is not there', () => {
  test.each<[string, unknown, unknown]>([
    ['when a value differs', { a: 1 }, { a: 2 }],
    ['when a field is missing', {}, { a: 'x' }],
    ['when an entry is missing', [{ name: 'a' }], [{ name: 'a' }, { name: 'b' }]],
    ['when a list has one more', ['a', 'b'], ['a']],
    ['when a list is in another order', ['b', 'a'], ['a', 'b']],
    ['when something else is there', { a: 'x' }, { a: { b: 'x' } }],
    ['when another amount is there', { limits: { cpu: '1' } }, { limits: { cpu: '1100m' } }],
    ['when a right that is there unless it is denied is not denied', {}, { automountServiceAccountToken: false }],
    ['when two texts only look like one amount', { env: { A: '1000m' } }, { env: { A: '1' } }],
  ])('%s', (_, live, wanted) => {
    expect(covers(live, wanted)).toBe(false)
  })
})

test('every value covers itself, and with more fields still', () => {
  const json = fc.object({ values: [fc.string(), fc.integer(), fc.boolean(), fc.constant(null)], maxDepth: 3 })
  fc.assert(
    fc.property(json, json, (value, more) => {
      expect(covers(value, value)).toBe(true)
      expect(covers({ ...more, ...value }, value)).toBe(true)
    }),
    { seed: 54 },
  )
})

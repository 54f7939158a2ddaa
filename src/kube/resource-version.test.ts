import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { compareResourceVersions, hasReached } from './resource-version.ts'

test('resourceVersions compare as integers of any size', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 1n << 80n }), fc.bigInt({ min: 0n, max: 1n << 80n }), (a, b) => {
      const order = compareResourceVersions(String(a), String(b))
      expect(Math.sign(order ?? Number.NaN)).toBe(a < b ? -1 : a > b ? 1 : 0)
    }),
  )
})

test('what is no integer compares with itself only', () => {
  expect(compareResourceVersions('abc', 'abc')).toBe(0)
  expect(compareResourceVersions('abc', '7')).toBeUndefined()
  expect(compareResourceVersions('07', '7')).toBeUndefined()
})

test('a version is reached by itself and by a newer one, never by an unknown one', () => {
  expect(hasReached('10', '9')).toBe(true)
  expect(hasReached('9', '9')).toBe(true)
  expect(hasReached('9', '10')).toBe(false)
  expect(hasReached(undefined, '1')).toBe(false)
  expect(hasReached('abc', '1')).toBe(false)
})

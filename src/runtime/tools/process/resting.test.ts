import { describe, expect, test } from '@jest/globals'
import { type Resting, toSleep } from './resting.ts'

type Version = Resting & { readonly name: string }

const version = (name: string, more: Partial<Resting> = {}): Version => ({
  ...{ name, bundle: name.slice(0, 1), hasServed: false, isAwake: true, isIdle: true },
  ...more,
})
const served = { hasServed: true }
const asleep = (...versions: Version[]) => toSleep(versions).map(({ name }) => name)
const BUNDLES = ['a', 'b', 'c', 'd', 'e', 'f']

describe('to sleep go', () => {
  test('no versions that serve, however many bundles there are', () => {
    expect(asleep(...BUNDLES.map((name) => version(name)))).toEqual([])
  })
  test('of versions that a check of all bundles has loaded the first ones, and none that serves', () => {
    const serving = BUNDLES.map((name) => version(`${name}1`, served))
    expect(asleep(...serving, ...BUNDLES.map((name) => version(`${name}2`)))).toEqual(['a2', 'b2'])
  })
  test('of one bundle the oldest versions that newer ones have replaced', () => {
    const all = [1, 2, 3, 4, 5, 6].map((n) => version(`a${n}`, served))
    expect(asleep(...all)).toEqual(['a1'])
  })
  test('versions that were only tried before those that once served', () => {
    const replaced = [1, 2, 3, 4].map((n) => version(`a${n}`, served))
    expect(asleep(...replaced, version('a5', served), version('a6'))).toEqual(['a6'])
  })
  test('none that has calls under way, and none twice', () => {
    const busy = version('a1', { ...served, isIdle: false })
    const sleeping = version('a2', { ...served, isAwake: false })
    const others = [3, 4, 5, 6, 7].map((n) => version(`a${n}`, served))
    expect(asleep(busy, sleeping, ...others)).toEqual([])
    expect(asleep(busy, sleeping, ...others, version('a8', served))).toEqual(['a3'])
  })
})

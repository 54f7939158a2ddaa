import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { hold } from './hold.ts'

const HASHES = ['a', 'b', 'c'] as const
const maybe = fc.option(fc.constantFrom(...HASHES), { nil: undefined })
const input = fc
  .record({ pin: maybe, wanted: maybe, serving: maybe, other: maybe })
  .map(({ pin, wanted, serving, other }) => ({
    pin,
    wanted,
    serving,
    held: new Set([wanted, serving, other].filter((hash) => hash !== undefined)),
  }))

describe('a pinned bundle', () => {
  test('serves what push and mount want while there is no pin', () => {
    fc.assert(
      fc.property(input, (given) => {
        expect(hold({ ...given, pin: undefined })).toEqual({ serve: given.wanted })
      }),
    )
  })

  test('serves the pinned version where it can be had, else goes on with what serves', () => {
    fc.assert(
      fc.property(input, (given) => {
        fc.pre(given.pin !== undefined)
        const expected = given.held.has(given.pin ?? '') ? given.pin : given.serving
        expect(hold(given).serve).toBe(expected)
      }),
    )
  })

  test('says what waits: what would serve without the pin, else the pinned version that is not there', () => {
    fc.assert(
      fc.property(input, (given) => {
        fc.pre(given.pin !== undefined)
        const { serve, waits } = hold(given)
        if (given.wanted !== serve) expect(waits).toEqual(given.wanted === undefined ? {} : { hash: given.wanted })
        else expect(waits).toEqual(serve === given.pin ? undefined : { hash: given.pin })
      }),
    )
  })
})

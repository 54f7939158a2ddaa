import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { beginsObject, JsonExtent } from './json-extent.ts'

describe('JsonExtent', () => {
  test('an object or list ends with its last character, and not before', () => {
    const container = fc.oneof(fc.array(fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()))
    fc.assert(
      fc.property(container, fc.constantFrom('', ' \n'), fc.string(), (value, before, after) => {
        const text = before + JSON.stringify(value)
        const extent = new JsonExtent()
        for (const character of text.slice(0, -1)) extent.add(character)
        expect(extent.hasEnded).toBe(false)
        extent.add(text.slice(-1) + after)
        expect(extent.hasEnded).toBe(true)
      }),
    )
  })

  test.each(['', ' ', '7', '"{}"', 'x{}', '{]', '[}', '{"a":[}', '{"\\"}'])('%j never ends', (text) => {
    const extent = new JsonExtent()
    extent.add(text)
    extent.add('}]')
    expect(extent.hasEnded).toBe(false)
  })
})

test.each([
  ['{', true],
  [' \n[', true],
  ['', false],
  ['a{', false],
])('beginsObject(%j) is %s', (text, expected) => expect(beginsObject(text)).toBe(expected))

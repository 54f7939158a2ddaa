import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createLineSplitter, MAX_LINE_BYTES } from './lines.ts'

/** Cuts bytes at the given places. */
function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end))
}

describe('a line splitter', () => {
  test('gives the same lines however the bytes are cut', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => text.replaceAll('\n', ''))
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(), { maxLength: 12 }), (lines, places) => {
        const bytes = new TextEncoder().encode(lines.map((each) => `${each}\n`).join(''))
        const splitter = createLineSplitter()
        const found = cutAt(bytes, places).flatMap((chunk) => splitter.push(chunk))
        splitter.end()
        expect(found).toEqual(lines.filter((each) => each !== ''))
      }),
      { seed: 4 },
    )
  })

  test('puts a character together that two chunks share', () => {
    const bytes = Buffer.from('grün\n')
    const splitter = createLineSplitter()
    expect([...bytes].flatMap((byte) => splitter.push(Uint8Array.of(byte)))).toEqual(['grün'])
  })

  test('takes a line of 2 MB in small chunks', () => {
    const splitter = createLineSplitter()
    const chunk = Buffer.alloc(16 * 1024, 'x')
    for (let index = 0; index < 128; index++) expect(splitter.push(chunk)).toEqual([])
    expect(splitter.push(Buffer.from('\n'))[0]).toHaveLength(2 * 1024 * 1024)
  })

  test('refuses a line that is too long, before and at its end', () => {
    expect(() => createLineSplitter(4).push(Buffer.from('12345'))).toThrow('longer than 4 bytes')
    expect(() => createLineSplitter(4).push(Buffer.from('ok\n12345\n'))).toThrow('longer than 4 bytes')
    expect(MAX_LINE_BYTES).toBe(8 * 1024 * 1024)
  })

  test('refuses bytes that are not UTF-8, and a last line without an end', () => {
    expect(() => createLineSplitter().push(Uint8Array.of(0xff, 0x0a))).toThrow('not UTF-8')
    const splitter = createLineSplitter()
    splitter.push(Buffer.from('{}\n{'))
    expect(() => splitter.end()).toThrow('within a line')
  })
})

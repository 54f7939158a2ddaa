import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { encodeFrame, FrameReader, FrameTooLong } from './frames.ts'

/** Cuts bytes where the cuts say. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end))
}

test('texts come out as they went in, wherever the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), fc.array(fc.nat(10_000)), (texts, cuts) => {
      const reader = new FrameReader(1_000_000)
      const read: string[] = []
      for (const piece of pieces(Buffer.concat(texts.map(encodeFrame)), cuts))
        reader.read(piece, piece.length, (text) => read.push(text))
      expect(read).toEqual(texts)
    }),
  )
})
test('what is announced as longer than any frame may be is refused before it comes', () => {
  const reader = new FrameReader(10)
  const frame = encodeFrame('12345678901')
  expect(() => reader.read(frame, 4, () => undefined)).toThrow(FrameTooLong)
})

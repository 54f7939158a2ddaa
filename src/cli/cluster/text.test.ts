import { describe, expect, test } from '@jest/globals'
import { ageText, clockText, durationMs, tookText, wrap } from './text.ts'

describe('words for time', () => {
  test.each([
    [999, '0s'],
    [119_999, '119s'],
    [120_000, '2m'],
    [10_799_999, '179m'],
    [10_800_000, '3h'],
    [172_800_000, '2d'],
  ])('an age of %d ms is %s', (ms, text) => expect(ageText(ms)).toBe(text))

  test.each([
    [84.4, '84 ms'],
    [1234, '1.2 s'],
    [180_000, '3m'],
  ])('%d ms took %s', (ms, text) => expect(tookText(ms)).toBe(text))

  test.each([
    ['60s', 60_000],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['1.5m', 90_000],
    ['60', undefined],
    ['s', undefined],
    ['-1s', undefined],
    ['', undefined],
  ])('%j is a duration of %p ms', (text, ms) => expect(durationMs(text)).toBe(ms))

  test('a time of day has milliseconds', () => {
    expect(clockText(new Date(2026, 0, 1, 9, 5, 7, 42).getTime())).toBe('09:05:07.042')
  })
})

test('a word that is wider than a line is cut, and nothing is lost', () => {
  const text = `a ${'x'.repeat(25)} b`
  const lines = wrap(text, 10)
  expect(lines.every((line) => line.length <= 10)).toBe(true)
  expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''))
})

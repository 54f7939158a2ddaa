import { expect, test } from '@jest/globals'
import { restartDelay } from './restart.ts'

test.each([
  ['five deaths are replaced at once', [0, 1, 2, 3, 4], 5, 0],
  ['the sixth waits', [0, 1, 2, 3, 4, 5], 5, 1_000],
  ['each one after that twice as long', [0, 1, 2, 3, 4, 5, 6, 7], 8, 4_000],
  ['at most half a minute', Array.from({ length: 32 }, (_, n) => n), 32, 30_000],
  ['deaths of more than a minute ago do not count', [0, 1, 2, 3, 4, 59_000], 60_001, 0],
])('%s', (_, deaths, now, delay) => {
  expect(restartDelay(deaths, now)).toBe(delay)
})

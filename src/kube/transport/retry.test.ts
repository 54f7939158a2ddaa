import { describe, expect, test } from '@jest/globals'
import { ApiError } from '../types.ts'
import { planRetry } from './retry.ts'

const errorOf = (code: number, reason: string, retryAfterMs?: number) =>
  new ApiError({ code, reason, message: reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
const unreachable = errorOf(0, 'Unreachable')
const lost = errorOf(0, 'ConnectionLost')

describe('a failed attempt', () => {
  test.each<[string, ApiError, { repeatable: boolean; attempt?: number; leftMs?: number }, number | undefined]>([
    ['is repeated when no connection was made', unreachable, { repeatable: false }, 50],
    ['is repeated later and later', unreachable, { repeatable: false, attempt: 4 }, 400],
    ['is final after five', unreachable, { repeatable: false, attempt: 5 }, undefined],
    ['is repeated after a lost connection', lost, { repeatable: true }, 50],
    ['is final after a lost connection when the server may have acted on it', lost, { repeatable: false }, undefined],
    ['is final at its deadline', errorOf(0, 'Timeout'), { repeatable: true }, undefined],
    ['is repeated after 429 when the server says', errorOf(429, 'x', 3000), { repeatable: false }, 3000],
    ['is not repeated at once after 429 that says 0 s', errorOf(429, 'x', 0), { repeatable: false }, 100],
    ['is final after 429 without a time', errorOf(429, 'x'), { repeatable: true }, undefined],
    [
      'is final when the time is after the deadline',
      errorOf(429, 'x', 3000),
      { repeatable: true, leftMs: 3000 },
      undefined,
    ],
    ['is repeated after 503 when the server says', errorOf(503, 'x', 1000), { repeatable: true }, 1000],
    [
      'is final after 503 when a proxy may have passed it on',
      errorOf(503, 'x', 1000),
      { repeatable: false },
      undefined,
    ],
    ['is final after a conflict', errorOf(409, 'Conflict'), { repeatable: true }, undefined],
    ['is final after an error of the server', errorOf(500, 'InternalError', 1000), { repeatable: true }, undefined],
  ])('%s', (_name, error, { repeatable, attempt = 1, leftMs = 30_000 }, expected) => {
    expect(planRetry({ error, repeatable, attempt, leftMs }, 0)).toBe(expected)
  })

  test('is never repeated before the time that the server gave, and not by all clients at once', () => {
    const failed = { error: errorOf(429, 'x', 4000), repeatable: true, attempt: 1, leftMs: 30_000 }
    expect([0, 0.5, 0.999_999].map((random) => Math.round(planRetry(failed, random) ?? 0))).toEqual([4000, 4500, 5000])
  })
})

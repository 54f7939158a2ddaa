import { APICallError } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { failureOf, ModelSilence, planRetry, retryAfter } from './failure.ts'

const apiError = (statusCode: number | undefined, responseHeaders: Record<string, string> = {}) =>
  new APICallError({
    message: 'said the provider',
    url: 'http://model',
    requestBodyValues: { secret: 'in the body' },
    ...(statusCode === undefined ? {} : { statusCode }),
    responseHeaders,
  })

describe('failureOf', () => {
  test.each([
    [307, false],
    [400, false],
    [401, false],
    [403, false],
    [404, false],
    [408, true],
    [409, true],
    [422, false],
    [429, true],
    [500, true],
    [503, true],
    [529, true],
  ])('HTTP %i: worth another attempt: %s', (status, retryable) => {
    expect(failureOf(apiError(status), 'request', 0)).toMatchObject({ retryable })
  })

  test('a connection that failed is worth another attempt, an error of the code is not', () => {
    const socket = Object.assign(new Error('read'), { code: 'ECONNRESET' })
    expect(failureOf(new TypeError('fetch failed', { cause: socket }), 'request', 0).retryable).toBe(true)
    expect(failureOf(apiError(undefined), 'request', 0).retryable).toBe(true)
    expect(failureOf(new TypeError('x is not a function'), 'request', 0).retryable).toBe(false)
  })

  test('whatever breaks a stream may go well the next time', () => {
    expect(failureOf(new Error('JSON parsing failed'), 'stream', 0)).toEqual({
      message: 'JSON parsing failed',
      retryable: true,
    })
    expect(failureOf({ message: 'overloaded', type: 'server_error' }, 'stream', 0).message).toBe('overloaded')
    expect(failureOf('plain', 'stream', 0).message).toBe('plain')
    expect(failureOf(new ModelSilence('sent nothing'), 'request', 0).retryable).toBe(true)
  })

  test('never tells headers, the request or an unknown object', () => {
    const failure = failureOf(apiError(500, { 'x-secret': 'header' }), 'request', 0)
    expect(JSON.stringify(failure)).not.toMatch(/header|in the body/)
    expect(failureOf({ headers: { authorization: 'k' } }, 'stream', 0).message).not.toContain('k"')
  })

  test('does not repeat what a provider says of a key', () => {
    expect(failureOf(apiError(401), 'request', 0).message).toBe('HTTP 401: the provider refused the API key')
  })

  test('cuts a long message', () => {
    expect(failureOf(new Error('x'.repeat(10_000)), 'stream', 0).message.length).toBeLessThan(600)
  })
})

describe('retryAfter', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  test.each([
    [{ 'retry-after': '3' }, 3000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after-ms': '250', 'retry-after': '3' }, 250],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:05 GMT' }, 5000],
    [{ 'retry-after': 'Thu, 01 Jan 2015 00:00:05 GMT' }, 0],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
  ])('%j', (headers, wanted) => {
    expect(retryAfter(headers as Record<string, string>, now)).toBe(wanted)
  })
})

describe('planRetry', () => {
  const limits = { attempts: 3, backoffMs: 500 }
  const again = { message: 'no luck', retryable: true }
  const endless = { remainingMs: Infinity, random: 0 }

  test('waits twice as long each time', () => {
    expect(planRetry(again, 1, limits, endless)).toEqual({ type: 'retry', afterMs: 500 })
    expect(planRetry(again, 2, limits, endless)).toEqual({ type: 'retry', afterMs: 1000 })
  })

  test('takes off up to half by chance', () => {
    expect(planRetry(again, 1, limits, { ...endless, random: 0.999 })).toEqual({ type: 'retry', afterMs: 250 })
  })

  test('does what the provider asks for, without chance', () => {
    const asked = { ...again, retryAfterMs: 7000 }
    expect(planRetry(asked, 1, limits, { ...endless, random: 0.5 })).toEqual({ type: 'retry', afterMs: 7000 })
  })

  test('stops after the last attempt, and says how many there were', () => {
    expect(planRetry(again, 3, limits, endless)).toEqual({ type: 'fail', message: 'no luck (after 3 attempts)' })
  })

  test('stops at once where nothing can help', () => {
    expect(planRetry({ ...again, retryable: false }, 1, limits, endless)).toEqual({ type: 'fail', message: 'no luck' })
  })

  test('does not begin a wait that outlasts the run', () => {
    const plan = planRetry({ ...again, retryAfterMs: 60_000 }, 1, limits, { remainingMs: 60_000, random: 0 })
    expect(plan).toMatchObject({ type: 'fail', message: expect.stringContaining("past the run's time") })
  })
})

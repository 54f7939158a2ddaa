import { describe, expect, test } from '@jest/globals'
import { createVirtualClock } from '../../clock.fixture.ts'
import { ApiError } from '../../kube/index.ts'
import { FailureError } from '../config.ts'
import { type Look, untilFound } from './step.ts'

const STEP = { what: 'that it rains', timeoutMs: 2000, fix: 'wait for autumn' }

/** Looks at these in turn, the last one again and again, while time passes. */
async function look(...seen: (Look<string> | Error)[]) {
  const clock = createVirtualClock()
  let looks = 0
  let isOpen = true
  const found = untilFound({ clock, signal: new AbortController().signal }, STEP, async () => {
    const now = seen[Math.min(looks, seen.length - 1)] ?? { because: 'nothing' }
    looks += 1
    if (now instanceof Error) throw now
    return now
  })
  const outcome = found.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  const settled = outcome.then(() => {
    isOpen = false
  })
  while (isOpen) {
    await Promise.race([settled, clock.scheduled(100)])
    clock.advance(100)
  }
  return { ...(await outcome), looks }
}

describe('looking until something is found', () => {
  test('gives what it found, without a look more', async () => {
    expect(await look({ because: 'sun' }, { because: 'clouds' }, { found: 'rain' })).toEqual({
      value: 'rain',
      looks: 3,
    })
  })

  test.each([0, 429, 500, 503])('goes on when an API server answers %i', async (code) => {
    const error = new ApiError({ code, reason: 'x', message: 'later' })
    expect(await look(error, { found: 'rain' })).toEqual({ value: 'rain', looks: 2 })
  })

  test('ends at once when an API server refuses it', async () => {
    const error = new ApiError({ code: 403, reason: 'Forbidden', message: 'no' })
    expect(await look(error)).toEqual({ error, looks: 1 })
  })

  test('tells after its time what it waited for, what it saw last, and the fix', async () => {
    const error = new FailureError('that it rains did not come to pass in 2 s: clouds; wait for autumn')
    expect(await look({ because: 'sun' }, { because: 'clouds' })).toMatchObject({ error })
  })
})

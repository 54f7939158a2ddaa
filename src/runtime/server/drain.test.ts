import { expect, test } from '@jest/globals'
import { drained } from './drain.ts'

/** Runs that end when they are cancelled. */
function runsUnderWay(count: number) {
  const reasons: string[] = []
  return {
    reasons,
    inFlight: () => (reasons.length === 0 ? count : 0),
    cancelAll: async (_of: object, reason: string) => void reasons.push(reason),
  }
}
const never = new Promise<void>(() => undefined)

test('clients that leave in time are not cut', async () => {
  const asked = new AbortController()
  const quiet = Promise.withResolvers<void>()
  const runs = runsUnderWay(2)
  const outcome = drained({ signal: asked.signal, drainMs: 60_000, runs, quiet: quiet.promise })
  asked.abort()
  quiet.resolve()
  expect(await outcome).toEqual({ type: 'quiet' })
  expect(runs.reasons).toEqual([])
})

test('runs that are left when the time is up are counted and cancelled', async () => {
  const runs = runsUnderWay(2)
  expect(await drained({ signal: AbortSignal.abort(), drainMs: 1, runs, quiet: never })).toEqual({
    type: 'cut',
    runs: 2,
  })
  expect(runs.reasons).toEqual(['the runtime is stopping'])
})

test('nothing is cancelled before somebody asks to stop', async () => {
  const asked = new AbortController()
  const runs = runsUnderWay(1)
  const outcome = drained({ signal: asked.signal, drainMs: 0, runs, quiet: never })
  // A timer of the drain would have been set before this one.
  await new Promise((resolve) => setTimeout(resolve, 1))
  expect(runs.reasons).toEqual([])
  asked.abort()
  expect(await outcome).toEqual({ type: 'cut', runs: 1 })
})

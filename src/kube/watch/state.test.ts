import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ApiError } from '../types.ts'
import {
  type Failure,
  type FailureType,
  failureOfError,
  initialWatcher,
  type Observation,
  type State,
  transition,
  type Watcher,
} from './state.ts'

const failureOf = (type: FailureType, retryAfterMs?: number): Failure => ({
  type,
  message: type,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
})

type Ended = Extract<Observation, { type: 'ended' }>

const ended = (type: FailureType, details: { resourceVersion?: string; healthyMs?: number } = {}): Ended => ({
  type: 'ended',
  failure: failureOf(type),
  resourceVersion: details.resourceVersion,
  healthyMs: details.healthyMs ?? 0,
})
const listed: Observation = { type: 'listed', resourceVersion: '10' }
const waited: Observation = { type: 'waited' }

/** The states that observations lead through, without jitter. */
function statesAfter(...seen: readonly Observation[]): State[] {
  let watcher: Watcher = initialWatcher
  return seen.map((each) => {
    watcher = transition(watcher, each, 0.999_999)
    return watcher.state
  })
}

const lastOf = (...seen: readonly Observation[]) => statesAfter(...seen).at(-1)
const watchOn = { type: 'watch', resourceVersion: '12' }
const fails = (type: FailureType, times: number) =>
  Array.from({ length: times }, () => [ended(type, { resourceVersion: '12' }), waited]).flat()
const delayAfter = (...seen: readonly Observation[]) => {
  const state = lastOf(...seen)
  return state?.type === 'backingOff' ? Math.round(state.delayMs) : undefined
}

type Step = { readonly type: FailureType; readonly healthyMs: number; readonly random: number }

/** One failure and the wait after it. */
function checkedStep(watcher: Watcher, { type, healthyMs, random }: Step): Watcher {
  const isWatching = watcher.state.type === 'watching'
  const seen = { ...ended(type), resourceVersion: isWatching ? '12' : undefined, healthyMs }
  const after = transition(watcher, seen, random)
  const next = after.state.type === 'backingOff' ? transition(after, waited, random) : after

  const { delayMs } = after.state.type === 'backingOff' ? after.state : { delayMs: 400 }
  expect(delayMs >= 400 && delayMs <= 30_000).toBe(true)
  const goesOn = isWatching && type !== 'expired' && type !== 'absent'
  const listing = next.method === 'pages' ? 'listing' : 'syncing'
  expect(next.state.type).toBe(goesOn ? 'watching' : listing)
  return next
}

describe('a watcher', () => {
  test.each<[string, Observation[], Partial<State>]>([
    ['watches from the version of the list', [listed], { type: 'watching', resourceVersion: '10' }],
    [
      'watches on from the latest version when the server ends a watch in its time',
      [listed, ended('closed', { resourceVersion: '12', healthyMs: 300_000 })],
      { type: 'watching', resourceVersion: '12' },
    ],
    [
      'backs off before it watches on when the server ends a watch early',
      [listed, ended('closed', { resourceVersion: '12', healthyMs: 100 })],
      { type: 'backingOff', next: { type: 'watch', resourceVersion: '12' } },
    ],
    [
      'lists again at once when its version has expired',
      [listed, ended('expired', { resourceVersion: '12' })],
      { type: 'syncing', because: 'expired' },
    ],
    [
      'backs off when the version of a new list has expired again',
      [listed, ended('expired'), listed, ended('expired')],
      { type: 'backingOff', next: { type: 'list', because: 'expired' } },
    ],
    ['lists in pages where there is no WatchList', [ended('unsupported')], { type: 'listing', because: 'start' }],
    [
      'lists in pages when the initial events of a watch do not end',
      [ended('idle'), waited],
      { type: 'listing', because: 'start' },
    ],
    [
      'goes on with WatchList when a watch for changes was silent',
      [listed, ended('idle', { resourceVersion: '12' }), waited, ended('expired', { resourceVersion: '12' })],
      { type: 'syncing' },
    ],
    [
      'lists again for the reason it listed for when a list fails',
      [listed, ended('expired'), ended('connection'), waited],
      { type: 'syncing', because: 'expired' },
    ],
    ['takes one 404 for a server that is starting', [ended('absent')], { type: 'backingOff', isGone: false }],
    ['takes two lists with 404 for a kind that is gone', [ended('absent'), waited, ended('absent')], { isGone: true }],
    [
      'confirms by a list that the kind of a watch with 404 is gone',
      [listed, ended('absent', { resourceVersion: '12' }), waited],
      { type: 'syncing', because: 'absent' },
    ],
  ])('%s', (_name, seen, expected) => {
    expect(lastOf(...seen)).toMatchObject(expected)
  })

  test.each<FailureType>(['connection', 'forbidden', 'overloaded', 'invalid', 'idle', 'other'])(
    'goes on from its latest version without a list after: %s',
    (type) => {
      expect(lastOf(listed, ended(type, { resourceVersion: '12' }))).toMatchObject({
        type: 'backingOff',
        next: watchOn,
      })
      expect(lastOf(listed, ended(type, { resourceVersion: '12' }), waited)).toMatchObject({ type: 'watching' })
    },
  )

  test('waits 800 ms, then twice as long each time, up to 30 s', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7].map((times) => delayAfter(listed, ...fails('other', times).slice(0, -1)))
    expect(delays).toEqual([800, 1600, 3200, 6400, 12_800, 25_600, 30_000])
  })

  test('waits 5 s at most for a server or a kind that may be back, and starts anew with another failure', () => {
    expect(delayAfter(listed, ...fails('connection', 9).slice(0, -1))).toBe(5000)
    expect(delayAfter(...Array.from({ length: 9 }, () => [waited, ended('absent')]).flat())).toBe(5000)
    expect(delayAfter(listed, ...fails('connection', 9), ended('forbidden', { resourceVersion: '12' }))).toBe(800)
  })

  test('forgets failures after two minutes of health', () => {
    const seen = [listed, ...fails('other', 6)]
    expect(delayAfter(...seen, ended('other', { resourceVersion: '12', healthyMs: 119_999 }))).toBe(30_000)
    expect(delayAfter(...seen, ended('other', { resourceVersion: '12', healthyMs: 120_000 }))).toBe(800)
  })

  test('does not come back before the server asks it to, up to 30 s', () => {
    const refused = (ms: number): Observation => ({
      ...ended('overloaded', { resourceVersion: '12' }),
      failure: failureOf('overloaded', ms),
    })
    expect(delayAfter(listed, refused(7000))).toBe(7000)
    expect(delayAfter(listed, refused(3_600_000))).toBe(30_000)
  })

  test('never stops, never lists again but for a version or a kind that is gone, and never waits longer than 30 s', () => {
    const types: FailureType[] = ['closed', 'idle', 'connection', 'invalid', 'expired', 'forbidden', 'absent', 'other']
    const step = fc.record({
      type: fc.constantFrom(...types),
      healthyMs: fc.nat({ max: 600_000 }),
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let watcher = transition(initialWatcher, listed, 0)
        for (const each of steps) watcher = checkedStep(watcher, each)
      }),
      { seed: 4 },
    )
  })
})

describe('a failure', () => {
  test.each<[FailureType, ApiError]>([
    ['expired', new ApiError({ code: 410, reason: 'Expired', message: '' })],
    ['expired', new ApiError({ code: 410, reason: 'Gone', message: '' })],
    ['expired', new ApiError({ code: 400, reason: 'Expired', message: '' })],
    ['forbidden', new ApiError({ code: 401, reason: 'Unauthorized', message: '' })],
    ['forbidden', new ApiError({ code: 403, reason: 'Forbidden', message: '' })],
    ['absent', new ApiError({ code: 404, reason: 'NotFound', message: '' })],
    ['overloaded', new ApiError({ code: 429, reason: 'TooManyRequests', message: '' })],
    ['overloaded', new ApiError({ code: 503, reason: 'ServiceUnavailable', message: '' })],
    ['connection', new ApiError({ code: 0, reason: 'Unreachable', message: '' })],
    ['connection', new ApiError({ code: 0, reason: 'Timeout', message: '' })],
    ['invalid', new ApiError({ code: 0, reason: 'InvalidResponse', message: '' })],
    ['other', new ApiError({ code: 500, reason: 'InternalError', message: '' })],
    ['other', new ApiError({ code: 422, reason: 'Invalid', message: '' })],
  ])('is %s: %j', (type, error) => {
    expect(failureOfError(error, false).type).toBe(type)
  })

  test('of a WatchList is that there is none when its parameters are refused', () => {
    expect(failureOfError(new ApiError({ code: 422, reason: 'Invalid', message: '' }), true).type).toBe('unsupported')
  })
})

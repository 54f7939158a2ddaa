import type { RelistReason } from '../metrics/watch.ts'
import { isApiError } from '../types.ts'

/** Why a list or a watch ended. */
export type FailureType =
  /** The server ended the watch, as it does after `timeoutSeconds`. */
  | 'closed'
  /** The server did not end it in time. */
  | 'idle'
  | 'connection'
  /** A line or an answer that cannot be understood. */
  | 'invalid'
  /** 410: the server has forgotten the version that the watch would go on from. */
  | 'expired'
  | 'forbidden'
  /** 404: the kind is not served. */
  | 'absent'
  | 'overloaded'
  /** The server has no WatchList. */
  | 'unsupported'
  | 'other'

export type Failure = { readonly type: FailureType; readonly message: string; readonly retryAfterMs?: number }

/** How a kind's objects are fetched: all at the start of a watch, or in pages before it. */
export type ListMethod = 'watchList' | 'pages'

/** What to do next: list everything, or watch from a version on. */
export type Task =
  | { readonly type: 'list'; readonly because: RelistReason }
  | { readonly type: 'watch'; readonly resourceVersion: string }

export type State =
  /** Reads all objects in pages. */
  | { readonly type: 'listing'; readonly because: RelistReason }
  /** Reads all objects at the start of a watch. */
  | { readonly type: 'syncing'; readonly because: RelistReason }
  /** Reads changes from a version on. */
  | { readonly type: 'watching'; readonly resourceVersion: string }
  | {
      readonly type: 'backingOff'
      readonly delayMs: number
      readonly failure: Failure
      /** Failures of that type in a row, this one included. */
      readonly failures: number
      readonly next: Task
      /** The server has said twice in a row that the kind is not served: none of its objects exist any more. */
      readonly isGone: boolean
    }

/** What a watcher is, besides its state. */
export type Watcher = {
  readonly state: State
  readonly method: ListMethod
  /** The latest failure that has not been made up for. */
  readonly trouble: { readonly type: FailureType; readonly failures: number } | undefined
}

export type Observation =
  /** All objects are known, as they were at that version. */
  | { readonly type: 'listed'; readonly resourceVersion: string }
  | {
      readonly type: 'ended'
      readonly failure: Failure
      /** The latest version that a watch brought; undefined before the first object is known. */
      readonly resourceVersion: string | undefined
      /** How long the watch was open. */
      readonly healthyMs: number
    }
  | { readonly type: 'waited' }

export const initialWatcher: Watcher = {
  state: { type: 'syncing', because: 'start' },
  method: 'watchList',
  trouble: undefined,
}

// client-go's reflector: 800 ms, twice as long each time, up to 30 s, forgotten after 2 minutes of health.
const FIRST_DELAY_MS = 800
const MAX_DELAY_MS = 30_000
const HEALTHY_AFTER_MS = 120_000
/** For what costs the server nothing: it is back, or the kind is, and all is in step in less than 10 s. */
const MAX_CHEAP_DELAY_MS = 5000
/** A watch that the server ended earlier than this was not worth opening. */
const SHORT_WATCH_MS = 5000

const CHEAP: ReadonlySet<FailureType> = new Set(['connection', 'absent'])

/**
 * What a watcher does after what it saw.
 * @param random from 0 to below 1
 */
export function transition(watcher: Watcher, seen: Observation, random: number): Watcher {
  switch (seen.type) {
    case 'listed':
      return { ...watcher, state: { type: 'watching', resourceVersion: seen.resourceVersion } }
    case 'waited':
      return watcher.state.type === 'backingOff' ? begin(watcher, watcher.state.next) : watcher
    case 'ended':
      return ended(watcher, seen, random)
  }
}

function ended(watcher: Watcher, seen: Extract<Observation, { type: 'ended' }>, random: number): Watcher {
  const { failure, healthyMs } = seen
  const method = failure.type === 'unsupported' || isStuckInSync(watcher, failure) ? 'pages' : watcher.method
  const before = healthyMs >= HEALTHY_AFTER_MS ? undefined : watcher.trouble
  const failures = before?.type === failure.type ? before.failures + 1 : 1
  const next = taskAfter(watcher.state, seen)
  const isFree =
    failure.type === 'unsupported' ||
    (failure.type === 'closed' && healthyMs >= SHORT_WATCH_MS) ||
    (failure.type === 'expired' && failures === 1)
  if (failure.type === 'closed' && isFree) return begin({ ...watcher, method, trouble: undefined }, next)
  const trouble = { type: failure.type, failures }
  if (isFree) return begin({ ...watcher, method, trouble }, next)
  const isGone = failure.type === 'absent' && failures >= 2 && watcher.state.type !== 'watching'
  const delayMs = delayAfter(failure, failures, random)
  return { method, trouble, state: { type: 'backingOff', delayMs, failure, failures, next, isGone } }
}

/** A server, or a proxy before it, that never sends the bookmark at the end of the list. */
const isStuckInSync = ({ state }: Watcher, failure: Failure): boolean =>
  state.type === 'syncing' && failure.type === 'idle'

function begin(watcher: Watcher, task: Task): Watcher {
  if (task.type === 'watch') {
    return { ...watcher, state: { type: 'watching', resourceVersion: task.resourceVersion } }
  }
  const type = watcher.method === 'watchList' ? 'syncing' : 'listing'
  return { ...watcher, state: { type, because: task.because } }
}

function taskAfter(state: State, { failure, resourceVersion }: Extract<Observation, { type: 'ended' }>): Task {
  if (failure.type === 'expired' || failure.type === 'absent') return { type: 'list', because: failure.type }
  if (resourceVersion !== undefined) return { type: 'watch', resourceVersion }
  return { type: 'list', because: 'because' in state ? state.because : 'start' }
}

function delayAfter({ type, retryAfterMs = 0 }: Failure, failures: number, random: number): number {
  const max = CHEAP.has(type) ? MAX_CHEAP_DELAY_MS : MAX_DELAY_MS
  const ladder = Math.min(max, FIRST_DELAY_MS * 2 ** (failures - 1)) * (0.5 + random / 2)
  return Math.max(ladder, Math.min(retryAfterMs, MAX_DELAY_MS))
}

/** The reason of an ApiError for a server that neither sends nor ends. */
export const IDLE = 'Idle'

/** The type of an error that a list or a watch ended with. */
export function failureOfError(error: unknown, isWatchList: boolean): Failure {
  if (!isApiError(error)) return { type: 'other', message: error instanceof Error ? error.message : String(error) }
  const { message, retryAfterMs } = error
  return {
    type: typeOf(error.code, error.reason, isWatchList),
    message,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}

function typeOf(code: number, reason: string, isWatchList: boolean): FailureType {
  if (reason === 'Expired' || reason === 'Gone') return 'expired'
  switch (code) {
    case 0:
      if (reason === IDLE) return 'idle'
      return reason === 'InvalidResponse' || reason === 'TooLarge' ? 'invalid' : 'connection'
    case 400:
    case 422:
      return isWatchList ? 'unsupported' : 'other'
    case 401:
    case 403:
      return 'forbidden'
    case 404:
      return 'absent'
    case 410:
      return 'expired'
    case 429:
    case 503:
    case 504:
      return 'overloaded'
    default:
      return 'other'
  }
}

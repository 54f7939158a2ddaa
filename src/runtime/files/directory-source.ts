import type { Problem } from '../../api/index.ts'
import {
  type DirectoryFiles,
  type DirectoryShape,
  type FileStamp,
  filesOf,
  isGone,
  type ListedFile,
  listDirectory,
  type ReadFile,
  readListed,
  shapeOf,
  unreadable,
} from './read.ts'
import { createDirectoryWatch, createWake } from './watch.ts'

/** How long it took, in milliseconds, from the first notice of a change until it was at rest, and to read it. */
export type DirectoryTiming = { readonly detectMs: number; readonly readMs: number }

/** What a directory shows now, or why it cannot be read. */
export type DirectoryEvent =
  | { readonly type: 'files'; readonly bundle: DirectoryFiles; readonly timing: DirectoryTiming }
  | { readonly type: 'failed'; readonly problem: Problem }

/** A file written in place is whole when nothing was written to it for this long, in milliseconds. */
const QUIET_MS = 3
/** The same for a size that a write under way shows (nothing yet, whole pages), and for a file that is missing. */
const DOUBTFUL_MS = 20
const PAGE = 4096
/** A timer may fire this early; waiting once more would cost another whole millisecond. */
const TIMER_SLACK_MS = 0.5
/** A directory that never comes to rest is taken as it is after this long. */
const RESTLESS_MS = 500
/** How often to look although nothing was heard, in milliseconds. */
const RECONCILE_MS = 1000
const ABSENT_MS = 100

/** When a change of a path was first seen; `stamp` is undefined for a file that went missing. */
export type Sighting = { readonly stamp: FileStamp | undefined; readonly since: number }

/**
 * Which changes a directory shows against what was read before, and how long each still has to rest. A file that was
 * moved into place is whole at once; one written in place may be half-written.
 */
export function sightChanges(
  listed: ReadonlyMap<string, ListedFile>,
  known: ReadonlyMap<string, ReadFile>,
  sightings: ReadonlyMap<string, Sighting>,
  now: number,
): { sightings: Map<string, Sighting>; restMs: number } {
  const next = new Map<string, Sighting>()
  let restMs = 0
  const sight = (path: string, stamp: FileStamp | undefined) => {
    const before = known.get(path)?.stamp
    if (before?.key === stamp?.key) return
    const earlier = sightings.get(path)
    const since = earlier !== undefined && earlier.stamp?.key === stamp?.key ? earlier.since : now
    next.set(path, { stamp, since })
    restMs = Math.max(restMs, since + restOf(stamp, before, earlier?.stamp) - now)
  }
  for (const [path, { stamp }] of listed) sight(path, stamp)
  for (const path of known.keys()) if (!listed.has(path)) sight(path, undefined)
  return { sightings: next, restMs }
}

function restOf(stamp: FileStamp | undefined, before: FileStamp | undefined, earlier: FileStamp | undefined): number {
  if (stamp === undefined) return DOUBTFUL_MS
  const arrived = before?.inode !== stamp.inode
  if (arrived && stamp.moved) return 0
  if (stamp.size % PAGE === 0) return DOUBTFUL_MS
  const grew = earlier !== undefined && earlier.inode === stamp.inode
  return arrived && !grew ? 0 : QUIET_MS
}

type Shown = { readonly type: 'files'; readonly bundle: DirectoryFiles } | Extract<DirectoryEvent, { type: 'failed' }>

type Look = { readonly type: 'resting'; readonly ms: number } | { readonly type: 'seen'; readonly event: Shown }

const failed = (directory: string, error: unknown): Look => ({
  type: 'seen',
  event: { type: 'failed', problem: unreadable(directory, error).problem },
})

/** Looks at one directory again and again, reading only what changed. */
function createLook(directory: string): (shape: DirectoryShape, now: number) => Look {
  let known: Map<string, ReadFile> = new Map()
  let sightings: Map<string, Sighting> = new Map()
  let seen: DirectoryFiles | undefined
  let restlessSince: number | undefined

  const rest = (ms: number, now: number): Look | undefined => {
    restlessSince ??= now
    return now - restlessSince < RESTLESS_MS ? { type: 'resting', ms } : undefined
  }
  const look = (kind: 'plain' | 'mount', now: number): Look => {
    const { files: listed, warnings } = listDirectory(directory, kind)
    const changes = sightChanges(listed, known, sightings, now)
    sightings = changes.sightings
    if (kind === 'plain' && seen !== undefined && changes.restMs > TIMER_SLACK_MS) {
      const resting = rest(changes.restMs, now)
      if (resting !== undefined) return resting
    }
    if (seen === undefined || sightings.size > 0) {
      const read = readListed(listed, known)
      if (read === undefined) return rest(1, now) ?? { type: 'resting', ms: DOUBTFUL_MS }
      seen = filesOf(read, warnings)
      known = read
      sightings = new Map()
    }
    restlessSince = undefined
    return { type: 'seen', event: { type: 'files', bundle: seen } }
  }
  return (shape, now) => {
    try {
      return look(shape.kind === 'mount' ? 'mount' : 'plain', now)
    } catch (error) {
      const swapped = shape.kind !== 'absent' && isGone(error) ? rest(1, now) : undefined
      return swapped ?? failed(directory, error)
    }
  }
}

export type WatchOptions = {
  /** How often to look although nothing was heard, in milliseconds. */
  readonly reconcileMs?: number
}

const timed = (event: Shown, timing: DirectoryTiming): DirectoryEvent =>
  event.type === 'files' ? { ...event, timing } : event

/** Measures from the first notice of a change, if there was one, to the look that sees it at rest. */
function createStopwatch() {
  let noticedAt: number | undefined
  return {
    noticed(): void {
      noticedAt ??= performance.now()
    },
    seen(lookedAt: number): DirectoryTiming {
      const detectMs = lookedAt - (noticedAt ?? lookedAt)
      noticedAt = undefined
      return { detectMs, readMs: performance.now() - lookedAt }
    },
  }
}

const keyOf = (event: Shown): string => (event.type === 'files' ? event.bundle.hash : JSON.stringify(event.problem))

/**
 * What a directory shows, from now on: one event at once, then one whenever its content or the reason why it cannot be
 * read has changed. A reader that is slow gets the latest only. The directory may appear late, vanish and return. Ends
 * when the signal aborts, and never throws.
 */
export async function* watchDirectory(
  directory: string,
  signal: AbortSignal,
  { reconcileMs = RECONCILE_MS }: WatchOptions = {},
): AsyncGenerator<DirectoryEvent, void> {
  const wake = createWake(signal)
  const stopwatch = createStopwatch()
  const watching = createDirectoryWatch(() => {
    stopwatch.noticed()
    wake.notify()
  })
  const look = createLook(directory)
  const followAndLook = (shape: DirectoryShape): Look => {
    try {
      watching.follow(shape)
      return look(shape, performance.now())
    } catch (error) {
      return failed(directory, error)
    }
  }
  let told = ''
  try {
    while (!signal.aborted) {
      const lookedAt = performance.now()
      const shape = shapeOf(directory)
      const result = followAndLook(shape)
      if (result.type === 'seen') {
        const timing = stopwatch.seen(lookedAt)
        const key = keyOf(result.event)
        if (key !== told) yield timed(result.event, timing)
        told = key
      }
      await wake.sleep(result.type === 'resting' ? result.ms : shape.kind === 'absent' ? ABSENT_MS : reconcileMs)
    }
  } finally {
    await watching.close()
  }
}

import { readFileSync } from 'node:fs'
import type { Problem } from '../../api/index.ts'
import {
  type DirectoryFiles,
  type DirectoryShape,
  type FileStamp,
  filesOf,
  isGone,
  type ListedFile,
  type Listing,
  listDirectory,
  READ_ONLY,
  type ReadFile,
  readListed,
  unreadable,
} from './read.ts'
import { currentMounts, subPathWarnings } from './sub-path.ts'

/** A file that may be half-written, or is missing, is believed after this long without another write, in milliseconds. */
const SETTLE_MS = 20
/** The same for a file written in place whose end tells that it is whole: it may still be written over from its start. */
const WHOLE_MS = 3
/** A file is emptied to be written, and a busy machine may let its writer wait in between. */
const EMPTY_MS = 200
/** A timer may fire this early; waiting once more would cost another whole millisecond. */
const TIMER_SLACK_MS = 0.5
/** A directory that does not come to rest is taken after this long, but for the files that are still written. */
const RESTLESS_MS = 500

/** When a change of a path was first seen; `stamp` is undefined for a file that went missing. */
export type Sighting = { readonly stamp: FileStamp | undefined; readonly since: number; readonly isWhole: boolean }

type KnownFile = Pick<ReadFile, 'stamp' | 'content'>

/** What a look at some files has found, and what was known of them before. */
export type Sight = {
  readonly listed: ReadonlyMap<string, ListedFile>
  readonly known: ReadonlyMap<string, KnownFile>
  readonly sightings: ReadonlyMap<string, Sighting>
  /** A monotonic time, in milliseconds. */
  readonly now: number
  /** Whether a file that was written to is whole. Asked once for each state of it. */
  readonly isWhole: (file: ListedFile, before: KnownFile) => boolean
}

/** `restMs`: how long until all of it is at rest; `unsettled` are the paths of what is not yet. */
export type Changes = {
  readonly sightings: Map<string, Sighting>
  readonly restMs: number
  readonly unsettled: ReadonlySet<string>
}

/**
 * Which changes a directory shows against what was read before, and how long each still has to rest. A file that was
 * moved into place is whole at once; one written in place may be half-written.
 */
export function sightChanges({ listed, known, sightings, now, isWhole }: Sight): Changes {
  const next = new Map<string, Sighting>()
  const unsettled = new Set<string>()
  let restMs = 0
  const sight = (path: string, file: ListedFile | undefined) => {
    const before = known.get(path)
    const stamp = file?.stamp
    if (before?.stamp.key === stamp?.key) return
    const earlier = sightings.get(path)
    const isSame = earlier !== undefined && earlier.stamp?.key === stamp?.key
    const sighting = isSame
      ? earlier
      : { stamp, since: now, isWhole: file !== undefined && before !== undefined && isWhole(file, before) }
    next.set(path, sighting)
    const leftMs = sighting.since + restOf(sighting, before?.stamp) - now
    if (leftMs > TIMER_SLACK_MS) unsettled.add(path)
    restMs = Math.max(restMs, leftMs)
  }
  for (const [path, file] of listed) sight(path, file)
  for (const path of known.keys()) if (!listed.has(path)) sight(path, undefined)
  return { sightings: next, restMs, unsettled }
}

function restOf({ stamp, isWhole }: Sighting, before: FileStamp | undefined): number {
  if (stamp === undefined) return SETTLE_MS
  if (stamp.size === 0) return EMPTY_MS
  const arrived = before?.inode !== stamp.inode
  if (arrived && (stamp.moved || isWhole)) return 0
  return isWhole ? WHOLE_MS : SETTLE_MS
}

/** `endsAs` of what a file holds now. */
export function endsAsBefore({ location }: ListedFile, { content }: KnownFile): boolean {
  try {
    return endsAs(readFileSync(location, { flag: READ_ONLY }), content)
  } catch {
    // Why it cannot be read is told when it is at rest.
    return false
  }
}

const SHORTEST_END = 4
const LONGEST_END = 1024

/**
 * Whether a content ends as the one before did, with bytes that are nowhere else in either. What a writer has begun anew
 * and not yet finished ends somewhere in the middle of it.
 */
export function endsAs(content: Uint8Array, before: Uint8Array): boolean {
  const texts = [content, before].map(({ buffer, byteOffset, length }) => Buffer.from(buffer, byteOffset, length))
  const longest = Math.min(content.length, before.length, LONGEST_END)
  for (let length = SHORTEST_END; length <= longest; length *= 2) {
    const end = content.subarray(-length)
    if (Buffer.compare(end, before.subarray(-length)) !== 0) return false
    if (texts.every((text) => text.indexOf(end) === text.length - length)) return true
  }
  return false
}

/** What a directory shows, or why it cannot be read. */
export type Shown =
  | { readonly type: 'files'; readonly bundle: DirectoryFiles }
  | { readonly type: 'failed'; readonly problem: Problem }

/** With `againMs` something changes: look again in so many milliseconds, also when nothing is heard until then. */
export type Look =
  | { readonly type: 'resting'; readonly againMs: number }
  | { readonly type: 'seen'; readonly shown: Shown; readonly againMs?: number }

/**
 * Looks at one directory again and again, reading only what changed. Never throws.
 * @returns a look; `now` is a monotonic time in milliseconds
 */
export function createLook(directory: string): (shape: DirectoryShape, now: number) => Look {
  let known: ReadonlyMap<string, ReadFile> = new Map()
  let sightings: ReadonlyMap<string, Sighting> = new Map()
  let seen: { readonly root: string; readonly bundle: DirectoryFiles; readonly isCertain: boolean } | undefined
  let restlessSince: number | undefined

  const rest = (ms: number, now: number): Look | undefined => {
    restlessSince ??= now
    return now - restlessSince < RESTLESS_MS ? { type: 'resting', againMs: ms } : undefined
  }
  const sight = (shape: DirectoryShape, { root, files: listed }: Listing, now: number): Changes => {
    const isMount = shape.kind === 'mount'
    // Another version of a mount may have the inodes, sizes and times of one that was deleted a moment ago.
    if (isMount && root !== seen?.root) known = new Map()
    const isWhole = isMount ? () => true : endsAsBefore
    const changes = sightChanges({ listed, known, sightings, now, isWhole })
    sightings = changes.sightings
    // A mount is swapped as a whole: nothing in it has to rest.
    return isMount || seen === undefined ? { sightings: changes.sightings, ...AT_REST } : changes
  }
  /** What is unsettled stays as it was. Undefined when something else was written or taken away meanwhile. */
  const read = (shape: DirectoryShape, listing: Listing, unsettled: ReadonlySet<string>) => {
    const { root, files: listed, warnings } = listing
    const settled = new Map([...listed].filter(([path]) => !unsettled.has(path)))
    const files = readListed({ ...listing, files: settled }, known)
    if (files === undefined) return undefined
    for (const [path, file] of known) if (unsettled.has(path)) files.set(path, file)
    const bundle = filesOf(files, [...warnings, ...mountWarnings(shape, listed.keys())])
    seen = { root, bundle, isCertain: [...files.values()].every(({ isCertain }) => isCertain) }
    known = files
    sightings = new Map([...sightings].filter(([path]) => unsettled.has(path)))
    return bundle
  }
  const look = (shape: DirectoryShape, now: number): Look => {
    const listing = listDirectory(directory, kindOf(shape))
    const { restMs, unsettled } = sight(shape, listing, now)
    const resting = unsettled.size > 0 ? rest(restMs, now) : undefined
    if (resting !== undefined) return resting
    const isSeen = sightings.size === 0 && seen?.isCertain && seen.root === listing.root
    const bundle = isSeen ? seen?.bundle : read(shape, listing, unsettled)
    if (bundle === undefined) return rest(1, now) ?? { type: 'resting', againMs: SETTLE_MS }
    const shown = { type: 'files', bundle } as const
    if (unsettled.size > 0) return { type: 'seen', shown, againMs: restMs }
    restlessSince = undefined
    return { type: 'seen', shown }
  }
  return (shape, now) => {
    try {
      return look(shape, now)
    } catch (error) {
      const swapped = shape.kind !== 'absent' && isGone(error) ? rest(1, now) : undefined
      return swapped ?? { type: 'seen', shown: { type: 'failed', problem: unreadable(directory, error).problem } }
    }
  }
}

const AT_REST = { restMs: 0, unsettled: new Set<string>() } as const

const kindOf = (shape: DirectoryShape): 'plain' | 'mount' => (shape.kind === 'mount' ? 'mount' : 'plain')

/** A whole volume that is mounted has its link `..data`, and is updated. */
const mountWarnings = (shape: DirectoryShape, files: Iterable<string>): string[] =>
  shape.kind === 'plain' ? subPathWarnings(currentMounts(), shape.location, files) : []

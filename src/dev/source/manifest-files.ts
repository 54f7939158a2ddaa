import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { endsAsBefore, type FileStamp, type Sighting, sightChanges } from '../../runtime/files/index.ts'
import { type Listing, listManifests, stampOf } from './list-manifests.ts'
import { type ManifestFile, missingFrom, nextVersion } from './manifest-set.ts'
import { fileProblem, MAX_MANIFEST_BYTES, parseManifests } from './manifests.ts'

/** Files that never come to rest are taken as they are after this long, in milliseconds. */
const RESTLESS_MS = 500
/**
 * A file written in place may be whole by chance when half of it is there. What is missing from it goes after it has
 * not been written for this long, in milliseconds.
 */
const DOUBT_MS = 150

/** What a look at all roots found. */
export type Scan =
  | {
      readonly type: 'settled'
      /** In the order of root and path. */
      readonly files: readonly ManifestFile[]
      /** Roots, folders and files that could not be looked at, with the reason; what they held before still counts. */
      readonly unread: ReadonlyMap<string, string>
      /** When the first of the changes since the last settled scan was seen. */
      readonly seenAt: number
      /** Objects are about to go: look again in so many milliseconds. */
      readonly doubtMs: number | undefined
    }
  /** A file is being written, or has just gone: look again in so many milliseconds. */
  | { readonly type: 'resting'; readonly ms: number }

/** Reads the manifests of several roots, each a directory or one file. Only a file that changed is read again. */
export interface ManifestFiles {
  /** @param now a monotonic time in milliseconds */
  scan(now: number): Scan
}

type Known = {
  readonly stamp: FileStamp
  readonly content: Uint8Array
  readonly file: ManifestFile
  /** Since when objects are missing from the file, and kept for a while. */
  readonly doubtSince?: number | undefined
}

export function createManifestFiles(roots: readonly string[]): ManifestFiles {
  let known: ReadonlyMap<string, Known> = new Map()
  let sightings: Map<string, Sighting> = new Map()
  let restlessSince: number | undefined
  const directories = new Set<string>()
  return {
    scan(now) {
      const { stamps, unread } = listRoots(roots, known, directories)
      const listed = new Map([...stamps].map(([path, stamp]) => [path, { location: path, stamp }]))
      const changes = sightChanges({ listed, known, sightings, now, isWhole: endsAsBefore })
      sightings = changes.sightings
      if (sightings.size > 0) restlessSince ??= now
      const isRestless = restlessSince !== undefined && now - restlessSince >= RESTLESS_MS
      if (changes.restMs > 0 && !isRestless) return { type: 'resting', ms: changes.restMs }
      const read = readAll(stamps, known, now)
      if (read === undefined) return { type: 'resting', ms: 1 }
      const decided = decide(read, now)
      const seenAt = restlessSince ?? decided.doubtSince ?? now
      known = decided.known
      sightings = new Map()
      restlessSince = undefined
      const files = [...known.values()].map(({ file }) => file)
      return { type: 'settled', files, unread, seenAt, doubtMs: decided.doubtMs }
    },
  }
}

/** Lets go what has been missing for long enough. */
function decide(read: ReadonlyMap<string, Known>, now: number) {
  const known = new Map(read)
  const ended: number[] = []
  const waits: number[] = []
  for (const [path, each] of read) {
    if (each.doubtSince === undefined) continue
    const waitMs = each.doubtSince + DOUBT_MS - now
    if (waitMs > 0) waits.push(waitMs)
    else {
      ended.push(each.doubtSince)
      known.set(path, { ...each, doubtSince: undefined, file: { ...each.file, kept: [] } })
    }
  }
  return {
    known,
    doubtSince: ended.length === 0 ? undefined : Math.min(...ended),
    doubtMs: waits.length === 0 ? undefined : Math.min(...waits),
  }
}

/** What cannot be looked at keeps what it held: only a folder that was read says that a file was deleted. */
function listRoots(roots: readonly string[], known: ReadonlyMap<string, Known>, directories: Set<string>) {
  const stamps = new Map<string, FileStamp>()
  const unread = new Map<string, string>()
  for (const root of roots) {
    const { kind, ...listed } = listRoot(root, directories)
    if (kind === 'directory') directories.add(root)
    for (const [path, why] of listed.unread) unread.set(path, why)
    const kept = [...known].filter(([path]) => [...listed.unread.keys()].some((folder) => isWithin(path, folder)))
    const found = [...listed.stamps, ...kept.map(([path, { stamp }]) => [path, stamp] as const)]
    for (const [path, stamp] of found.sort(byPath)) if (!stamps.has(path)) stamps.set(path, stamp)
  }
  return { stamps, unread }
}

/** @param directories roots that were directories when last seen: a file in the place of one is no listing of it */
function listRoot(root: string, directories: ReadonlySet<string>): Listing {
  const failed = (why: string): Listing => ({ kind: 'unread', stamps: new Map(), unread: new Map([[root, why]]) })
  const listing = listManifests(root)
  if (listing === undefined) return failed('is not there')
  if (listing.kind === 'file' && directories.has(root)) return failed('is no longer a directory')
  return { ...listing, unread: new Map([...listing.unread].map(([path, code]) => [path, `cannot be read: ${code}`])) }
}

const byPath = ([a]: readonly [string, FileStamp], [b]: readonly [string, FileStamp]): number => (a < b ? -1 : 1)

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(join(folder, '/'))

/** Undefined when a file was written or taken away while it was read. */
function readAll(stamps: ReadonlyMap<string, FileStamp>, known: ReadonlyMap<string, Known>, now: number) {
  const next = new Map<string, Known>()
  for (const [path, stamp] of stamps) {
    const before = known.get(path)
    if (before?.stamp.key === stamp.key) next.set(path, before)
    else {
      const read = doubted(readOne(path, stamp, before), before, now)
      if (!isStill(path, stamp)) return undefined
      next.set(path, read)
    }
  }
  return next
}

function isStill(path: string, stamp: FileStamp): boolean {
  try {
    return stampOf(path)?.key === stamp.key
  } catch {
    // Gone, or not to be reached: the next look tells which.
    return false
  }
}

/** A file without a problem that was written in place, and lost objects by it, keeps them until that is certain. */
function doubted(read: Known, before: Known | undefined, now: number): Known {
  const isInPlace = before !== undefined && before.stamp.inode === read.stamp.inode
  if (!isInPlace || read.file === before.file || read.file.problems.length > 0) return read
  const kept = missingFrom(read.file, before.file)
  return kept.length === 0 ? read : { ...read, doubtSince: now, file: { ...read.file, kept } }
}

function readOne(path: string, stamp: FileStamp, before: Known | undefined): Known {
  const failed = (reason: 'FileTooLarge' | 'FileNotText' | 'InvalidYAML', message: string): Known => {
    const file = { file: path, text: '', manifests: [], kept: [], problems: [fileProblem(reason, message, path)] }
    return { stamp, content: new Uint8Array(), file: nextVersion(before?.file, file) }
  }
  if (stamp.size > MAX_MANIFEST_BYTES) {
    return failed('FileTooLarge', `is ${stamp.size} bytes; a manifest may have ${MAX_MANIFEST_BYTES}: split it`)
  }
  let content: Uint8Array
  try {
    content = readFileSync(path)
  } catch (error) {
    const unread = failed('InvalidYAML', `cannot be read: ${error instanceof Error ? error.message : String(error)}`)
    // It may be readable the next time without having changed.
    return { ...unread, stamp: { ...stamp, key: '' } }
  }
  if (before !== undefined && content.length > 0 && Buffer.compare(before.content, content) === 0) {
    return { ...before, stamp }
  }
  const text = decodeUtf8(content)
  if (text === undefined) return failed('FileNotText', 'is not UTF-8 text; save it as UTF-8')
  return {
    stamp,
    content,
    file: nextVersion(before?.file, { file: path, text, kept: [], ...parseManifests(text, path) }),
  }
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

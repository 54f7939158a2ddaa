import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type FileStamp, type Sighting, sightChanges } from '../../runtime/files/index.ts'
import { listManifests, stampOf } from './list-manifests.ts'
import { type ManifestFile, nextVersion } from './manifest-set.ts'
import { fileProblem, MAX_MANIFEST_BYTES, parseManifests } from './manifests.ts'

/** Files that never come to rest are taken as they are after this long, in milliseconds. */
const RESTLESS_MS = 500

/** What a look at all roots found. */
export type Scan =
  | {
      readonly type: 'settled'
      /** In the order of root and path. */
      readonly files: readonly ManifestFile[]
      /** Roots that are not there; what they held before still counts. */
      readonly missing: readonly string[]
    }
  /** A file is being written, or has just gone: look again in so many milliseconds. */
  | { readonly type: 'resting'; readonly ms: number }

/** Reads the manifests of several roots, each a directory or one file. Only a file that changed is read again. */
export interface ManifestFiles {
  /** @param now a monotonic time in milliseconds */
  scan(now: number): Scan
}

type Known = { readonly stamp: FileStamp; readonly content: Uint8Array; readonly file: ManifestFile }

export function createManifestFiles(roots: readonly string[]): ManifestFiles {
  let known: Map<string, Known> = new Map()
  let sightings: Map<string, Sighting> = new Map()
  let restlessSince: number | undefined
  return {
    scan(now) {
      const { stamps, missing } = listRoots(roots, known)
      const listed = new Map([...stamps].map(([path, stamp]) => [path, { location: path, stamp }]))
      const changes = sightChanges(listed, known, sightings, now)
      sightings = changes.sightings
      if (sightings.size > 0) restlessSince ??= now
      const isRestless = restlessSince !== undefined && now - restlessSince >= RESTLESS_MS
      if (changes.restMs > 0 && !isRestless) return { type: 'resting', ms: changes.restMs }
      const read = readAll(stamps, known)
      if (read === undefined) return { type: 'resting', ms: 1 }
      known = read
      sightings = new Map()
      restlessSince = undefined
      return { type: 'settled', files: [...known.values()].map(({ file }) => file), missing }
    },
  }
}

/** A root that is gone keeps what it held: only a root that is there says that a file was deleted. */
function listRoots(roots: readonly string[], known: ReadonlyMap<string, Known>) {
  const stamps = new Map<string, FileStamp>()
  const missing: string[] = []
  for (const root of roots) {
    const listed = listManifests(root)
    if (listed === undefined) missing.push(root)
    const found = listed ?? new Map([...known].filter(([path]) => isWithin(path, root)).map(([p, k]) => [p, k.stamp]))
    for (const [path, stamp] of found) if (!stamps.has(path)) stamps.set(path, stamp)
  }
  return { stamps, missing }
}

const isWithin = (path: string, root: string): boolean => path === root || path.startsWith(join(root, '/'))

/** Undefined when a file was written or taken away while it was read. */
function readAll(stamps: ReadonlyMap<string, FileStamp>, known: ReadonlyMap<string, Known>) {
  const next = new Map<string, Known>()
  for (const [path, stamp] of stamps) {
    const before = known.get(path)
    if (before?.stamp.key === stamp.key) next.set(path, before)
    else {
      const read = readOne(path, stamp, before)
      if (stampOf(path)?.key !== stamp.key) return undefined
      next.set(path, read)
    }
  }
  return next
}

function readOne(path: string, stamp: FileStamp, before: Known | undefined): Known {
  const failed = (reason: 'FileTooLarge' | 'FileNotText' | 'InvalidYAML', message: string): Known => {
    const file = { file: path, text: '', manifests: [], problems: [fileProblem(reason, message, path)] }
    return { stamp, content: new Uint8Array(), file: nextVersion(before?.file, file) }
  }
  if (stamp.size > MAX_MANIFEST_BYTES) {
    return failed('FileTooLarge', `is ${stamp.size} bytes; a manifest may have ${MAX_MANIFEST_BYTES}: split it`)
  }
  let content: Uint8Array
  try {
    content = readFileSync(path)
  } catch (error) {
    return failed('InvalidYAML', `cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (before !== undefined && content.length > 0 && Buffer.compare(before.content, content) === 0) {
    return { ...before, stamp }
  }
  const text = decodeUtf8(content)
  if (text === undefined) return failed('FileNotText', 'is not UTF-8 text; save it as UTF-8')
  return { stamp, content, file: nextVersion(before?.file, { file: path, text, ...parseManifests(text, path) }) }
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

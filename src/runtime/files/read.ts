import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import { type BundleFiles, bundleHash, ProblemError } from '../../api/index.ts'
import {
  checkBundleSize,
  checkFileSize,
  checkPath,
  leaveOut,
  MAX_FILE_BYTES,
  MAX_FILES,
  pathFault,
  ROLE_FOLDER,
  spareTreeOf,
} from './bounds.ts'

/** What a directory shows at one moment: a bundle that has no name yet. */
export type DirectoryFiles = Omit<BundleFiles, 'name'>

/**
 * `mount`: a ConfigMap as the kubelet mounts it, swapped as a whole through its link `..data`. `location` is the
 * absolute path without links; `id` changes when the directory is another one than before, also under the same path.
 */
export type DirectoryShape =
  | { readonly kind: 'absent' }
  | { readonly kind: 'plain' | 'mount'; readonly location: string; readonly id: string }

/** Two stamps of one path are equal when its content has not been written in between. Of the file, not of a link. */
export type FileStamp = { readonly key: string; readonly inode: number; readonly size: number; readonly moved: boolean }

/** A file as it was found, not yet read. */
export type ListedFile = { readonly location: string; readonly stamp: FileStamp }

/** A file as it was read. Unless that is certain, its content may have changed since without another stamp. */
export type ReadFile = { readonly stamp: FileStamp; readonly content: Uint8Array; readonly isCertain: boolean }

const SKIPPED = /^\.|^node_modules$|~$|\.(swp|swo|swx|tmp)$|\.tmp[.-]\w+$|^4913$|^#.*#$|___jb_(tmp|old)___$/
const MANIFEST = /\.ya?ml$/
const ATTEMPTS = 10
/** What became a FIFO since it was listed must not hold up the process until somebody writes to it. */
export const READ_ONLY = constants.O_RDONLY | constants.O_NONBLOCK

/**
 * Many kernels give a write the time of their last tick, 1 to 10 ms ago: a write that follows another within one leaves
 * size and times as they were.
 */
const TICK_MS = 20

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
const pathOf = (error: unknown): string | undefined =>
  error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : undefined

/** Whether an error means that what was to be read is no longer there. */
export const isGone = (error: unknown): boolean => codeOf(error) === 'ENOENT'

/** Any failure to read a directory, or a file in it, as a ProblemError. */
export function unreadable(directory: string, error: unknown): ProblemError {
  if (error instanceof ProblemError) return error
  const path = pathOf(error) ?? directory
  const message = `${path} ${whyUnreadable(error)}`
  const inside = relative(directory, path)
  const isInside = inside !== '' && inside !== '..' && !inside.startsWith('../')
  return new ProblemError(
    { reason: 'DirectoryNotFound', message, ...(isInside && { file: inside.split(sep).join('/') }) },
    { cause: error },
  )
}

function whyUnreadable(error: unknown): string {
  const code = codeOf(error)
  switch (code) {
    case 'ENOENT':
      return 'does not exist'
    case 'ENOTDIR':
      return 'is not a directory'
    case 'ELOOP':
      return 'is a link that leads to itself'
    case 'EACCES':
    case 'EPERM':
      return `may not be read: give this process (user ${process.getuid?.()}) the right to`
    default:
      return `cannot be read: ${code ?? (error instanceof Error ? error.message : String(error))}`
  }
}

/** What kind of directory it is. Never throws: what cannot be looked at is absent. */
export function shapeOf(directory: string): DirectoryShape {
  try {
    const stats = statSync(directory)
    if (!stats.isDirectory()) return { kind: 'absent' }
    const data = lstatSync(join(directory, '..data'), { throwIfNoEntry: false })
    const location = realpathSync.native(directory)
    const id = `${location}:${stats.dev}:${stats.ino}:${stats.birthtimeMs}`
    return { kind: data?.isSymbolicLink() ? 'mount' : 'plain', location, id }
  } catch {
    // Links in a circle and folders that may not be entered throw; why it cannot be read is told by the reading of it.
    return { kind: 'absent' }
  }
}

/** When a mount was given what it shows, in milliseconds since 1970 by the clock of its node; undefined for no mount. */
export function swappedAt(directory: string): number | undefined {
  try {
    const data = lstatSync(join(directory, '..data'))
    return data.isSymbolicLink() ? data.mtimeMs : undefined
  } catch {
    // It is not there, or may not be looked at: the reading of it tells why.
    return undefined
  }
}

/** The files of a directory, with nothing read yet. */
export type Listing = {
  readonly kind: 'plain' | 'mount'
  readonly directory: string
  /** The folder that the files are in: of a mount, that of one version. */
  readonly root: string
  readonly files: Map<string, ListedFile>
  readonly warnings: readonly string[]
}

/**
 * Lists a directory. Dotfiles, node_modules and editors' temporary files are left out; in a plain directory so are links
 * that lead out of it, manifests (YAML outside the role folders) and, with a warning, helpers that break a bound. Of a
 * mount the link `..data` is resolved once.
 * @throws ProblemError DirectoryNotFound, InvalidFileName, FileTooLarge, BundleTooLarge; an ENOENT error when a mount
 *   was swapped meanwhile
 */
export function listDirectory(directory: string, kind: 'plain' | 'mount'): Listing {
  switch (kind) {
    case 'plain':
      return listPlain(directory)
    case 'mount':
      return listMount(directory)
  }
}

function listMount(directory: string): Listing {
  const root = versionOf(directory)
  return { kind: 'mount', directory, root, files: listed(filesIn(root)), warnings: [] }
}

const versionOf = (mount: string): string => resolve(mount, readlinkSync(join(mount, '..data')))

function* filesIn(root: string): Generator<readonly [path: string, file: ListedFile]> {
  for (const [path, location] of walk(root, '')) {
    const file = statOf(location, undefined)
    if (file !== undefined) yield [path, file]
  }
}

function listPlain(directory: string): Listing {
  const found = findPlain(directory)
  const leftOut = leaveOut(new Map([...found].map(([path, { stamp }]) => [path, stamp.size])))
  const files = listed([...found].filter(([path]) => !leftOut.paths.has(path)))
  return { kind: 'plain', directory, root: directory, files, warnings: leftOut.warnings }
}

/** Every file that may belong to a plain directory's bundle; of a spare tree no more than show that it is too large. */
function findPlain(directory: string): Map<string, ListedFile> {
  const inside = realpathSync(directory) + sep
  const found = new Map<string, ListedFile>()
  const counts = new Map<string, number>()
  for (const [path, location] of walk(directory, '')) {
    const tree = spareTreeOf(path)
    if (MANIFEST.test(path) && !ROLE_FOLDER.test(path)) continue
    if (tree !== undefined && (counts.get(tree) ?? 0) > MAX_FILES) continue
    const file = statOf(location, inside)
    if (file === undefined) continue
    found.set(path, file)
    const counted = tree !== undefined && pathFault(path) === undefined && file.stamp.size <= MAX_FILE_BYTES
    if (counted) counts.set(tree, (counts.get(tree) ?? 0) + 1)
  }
  return found
}

/** @throws ProblemError InvalidFileName, FileTooLarge, BundleTooLarge */
function listed(entries: Iterable<readonly [path: string, file: ListedFile]>): Map<string, ListedFile> {
  const files = new Map<string, ListedFile>()
  let bytes = 0
  for (const [path, file] of entries) {
    checkPath(path)
    checkFileSize(path, file.stamp.size)
    bytes += file.stamp.size
    files.set(path, file)
    checkBundleSize(path, files.size, bytes)
  }
  return files
}

function* walk(folder: string, prefix: string): Generator<readonly [path: string, location: string]> {
  for (const entry of entriesOf(folder, prefix === '')) {
    if (SKIPPED.test(entry.name)) continue
    const path = prefix + entry.name
    const location = join(folder, entry.name)
    if (entry.isDirectory()) yield* walk(location, `${path}/`)
    else yield [path, location]
  }
}

function entriesOf(folder: string, isRoot: boolean) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (isGone(error) && !isRoot) return []
    throw error
  }
}

/** Undefined for what is no file, is gone, or lies outside. `inside` is where a link may lead; without it, nowhere. */
function statOf(location: string, inside: string | undefined): ListedFile | undefined {
  const stats = lstatSync(location, { throwIfNoEntry: false })
  if (stats?.isFile()) return { location, stamp: stampOf(stats) }
  if (!stats?.isSymbolicLink() || inside === undefined) return undefined
  const target = targetOf(location)
  if (target === undefined || !target.startsWith(inside)) return undefined
  const targetStats = lstatSync(target, { throwIfNoEntry: false })
  return targetStats?.isFile() ? { location: target, stamp: stampOf(targetStats) } : undefined
}

function targetOf(link: string): string | undefined {
  try {
    return realpathSync(link)
  } catch {
    // A link that leads nowhere is no file.
    return undefined
  }
}

type Stats = { ino: number; size: number; mtimeMs: number; ctimeMs: number }
const stampOf = ({ ino, size, mtimeMs, ctimeMs }: Stats): FileStamp => ({
  key: `${ino}:${size}:${mtimeMs}:${ctimeMs}`,
  inode: ino,
  size,
  // A rename changes ctime alone.
  moved: ctimeMs > mtimeMs,
})

/**
 * Reads the listed files; content that is certain is not read again. Files of a mount are not written in place.
 * @returns undefined when a file was written or taken away while it was read, or the mount was swapped: a version may
 *   have been listed while it was being deleted
 */
export function readListed(
  { kind, directory, root, files: found }: Listing,
  known: ReadonlyMap<string, ReadFile>,
): Map<string, ReadFile> | undefined {
  const files = new Map<string, ReadFile>()
  for (const [path, file] of found) {
    const before = known.get(path)
    const isKnown = before?.isCertain === true && before.stamp.key === file.stamp.key
    const read = isKnown ? before : readWhole(kind, file)
    if (read === undefined) return undefined
    files.set(path, read)
  }
  return kind === 'plain' || versionOf(directory) === root ? files : undefined
}

function readWhole(kind: 'plain' | 'mount', { location, stamp }: ListedFile): ReadFile | undefined {
  let descriptor: number
  try {
    descriptor = openSync(location, READ_ONLY)
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
  try {
    const content = readFileSync(descriptor)
    const stats = fstatSync(descriptor)
    if (stampOf(stats).key !== stamp.key) return undefined
    const isCertain = kind === 'mount' || Date.now() - stats.ctimeMs > TICK_MS
    return { stamp, content, isCertain }
  } finally {
    closeSync(descriptor)
  }
}

export const filesOf = (read: ReadonlyMap<string, ReadFile>, warnings: readonly string[]): DirectoryFiles => {
  const files = new Map([...read].map(([path, { content }]) => [path, content]))
  return { hash: bundleHash(files), files, warnings }
}

/**
 * Reads a directory once: a plain one with its subfolders, or a mounted ConfigMap at one moment.
 * @throws ProblemError DirectoryNotFound, InvalidFileName, FileTooLarge, BundleTooLarge
 */
export function readDirectory(directory: string): DirectoryFiles {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const shape = shapeOf(directory)
      const listing = listDirectory(directory, shape.kind === 'mount' ? 'mount' : 'plain')
      const files = readListed(listing, new Map())
      if (files !== undefined) return filesOf(files, listing.warnings)
      if (attempt === ATTEMPTS)
        throw new ProblemError({
          reason: 'DirectoryNotFound',
          message: `${directory} changes faster than it can be read`,
        })
    } catch (error) {
      const again = isGone(error) && shapeOf(directory).kind !== 'absent' && attempt < ATTEMPTS
      if (!again) throw unreadable(directory, error)
    }
  }
}

import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { ProblemError } from '../../api/index.ts'
import { checkBundleSize, checkFileSize, checkPath } from './bounds.ts'
import { type BundleFiles, bundleHash } from './bundle.ts'

/** What a directory shows at one moment: a bundle that has no name yet. */
export type DirectoryFiles = Omit<BundleFiles, 'name'>

/**
 * `mount`: a ConfigMap as the kubelet mounts it, swapped as a whole through its link `..data`. `id` changes when the
 * directory is another one than before, also under the same path.
 */
export type DirectoryShape = { readonly kind: 'absent' } | { readonly kind: 'plain' | 'mount'; readonly id: string }

/** Two stamps of one path are equal when its content has not been written in between. Of the file, not of a link. */
export type FileStamp = { readonly key: string; readonly inode: number; readonly size: number; readonly moved: boolean }

/** A file as it was found, not yet read. */
export type ListedFile = { readonly location: string; readonly stamp: FileStamp }

/** A file as it was read. */
export type ReadFile = { readonly stamp: FileStamp; readonly content: Uint8Array }

const SKIPPED = /^\.|^node_modules$|~$|\.(swp|swo|swx|tmp)$|\.tmp[.-]\w+$|^4913$|^#.*#$|___jb_(tmp|old)___$/
const MANIFEST = /\.ya?ml$/
const ROLE_FOLDER = /^(tools|prompts|extensions)\//
const ATTEMPTS = 10

type Fault = { readonly code?: string }
const codeOf = (error: unknown): string | undefined =>
  error instanceof Error ? (error as Error & Fault).code : undefined

/** Whether an error means that what was to be read is no longer there. */
export const isGone = (error: unknown): boolean => codeOf(error) === 'ENOENT'

/** Any failure to read a directory as a ProblemError. */
export function unreadable(directory: string, error: unknown): ProblemError {
  if (error instanceof ProblemError) return error
  const code = codeOf(error)
  const why =
    code === 'ENOENT' ? 'does not exist' : code === 'ENOTDIR' ? 'is not a directory' : `cannot be read: ${code}`
  return new ProblemError({ reason: 'DirectoryNotFound', message: `${directory} ${why}` }, { cause: error })
}

/** What kind of directory it is. Never throws: what cannot be looked at is absent. */
export function shapeOf(directory: string): DirectoryShape {
  const stats = statSync(directory, { throwIfNoEntry: false })
  if (!stats?.isDirectory()) return { kind: 'absent' }
  const data = lstatSync(join(directory, '..data'), { throwIfNoEntry: false })
  const id = `${stats.dev}:${stats.ino}:${stats.birthtimeMs}`
  return { kind: data?.isSymbolicLink() ? 'mount' : 'plain', id }
}

/**
 * The files of a directory, with nothing read yet. Dotfiles, node_modules and editors' temporary files are left out;
 * in a plain directory so are links that lead out of it, and manifests (YAML outside the role folders). Of a mount the
 * link `..data` is resolved once.
 * @throws ProblemError DirectoryNotFound, InvalidFileName, FileTooLarge, BundleTooLarge; an ENOENT error when a mount
 *   was swapped meanwhile
 */
export function listDirectory(directory: string, kind: 'plain' | 'mount'): Map<string, ListedFile> {
  const root = kind === 'mount' ? resolve(directory, readlinkSync(join(directory, '..data'))) : directory
  const files = new Map<string, ListedFile>()
  const inside = kind === 'plain' ? realpathSync(root) + sep : undefined
  let bytes = 0
  for (const [path, location] of walk(root, '')) {
    if (inside !== undefined && MANIFEST.test(path) && !ROLE_FOLDER.test(path)) continue
    const listed = statOf(location, inside)
    if (listed === undefined) continue
    checkPath(path)
    checkFileSize(path, listed.stamp.size)
    bytes += listed.stamp.size
    files.set(path, listed)
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
 * Reads the listed files; content whose stamp is known is not read again.
 * @returns undefined when a file was written or taken away while it was read
 */
export function readListed(
  listed: ReadonlyMap<string, ListedFile>,
  known: ReadonlyMap<string, ReadFile>,
): Map<string, ReadFile> | undefined {
  const files = new Map<string, ReadFile>()
  for (const [path, file] of listed) {
    const before = known.get(path)
    const content = before?.stamp.key === file.stamp.key ? before.content : readWhole(file)
    if (content === undefined) return undefined
    files.set(path, { stamp: file.stamp, content })
  }
  return files
}

function readWhole({ location, stamp }: ListedFile): Uint8Array | undefined {
  let descriptor: number
  try {
    descriptor = openSync(location, 'r')
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
  try {
    const content = readFileSync(descriptor)
    return stampOf(fstatSync(descriptor)).key === stamp.key ? content : undefined
  } finally {
    closeSync(descriptor)
  }
}

export const filesOf = (read: ReadonlyMap<string, ReadFile>): DirectoryFiles => {
  const files = new Map([...read].map(([path, { content }]) => [path, content]))
  return { hash: bundleHash(files), files }
}

/**
 * Reads a directory once: a plain one with its subfolders, or a mounted ConfigMap at one moment.
 * @throws ProblemError DirectoryNotFound, InvalidFileName, FileTooLarge, BundleTooLarge
 */
export function readDirectory(directory: string): DirectoryFiles {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const shape = shapeOf(directory)
      const listed = listDirectory(directory, shape.kind === 'mount' ? 'mount' : 'plain')
      const files = readListed(listed, new Map())
      if (files !== undefined) return filesOf(files)
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

import { readdirSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { FileStamp } from '../../runtime/files/index.ts'

/** Folders of a directory that hold a bundle's files, or nothing of ours. */
const SKIPPED_FOLDERS = new Set(['tools', 'prompts', 'extensions', 'node_modules'])
const KUSTOMIZATIONS = new Set(['kustomization.yaml', 'kustomization.yml'])

/** Whether a folder of this name is looked into for manifests. */
export const isManifestFolder = (name: string): boolean => !(name.startsWith('.') || SKIPPED_FOLDERS.has(name))

/** Whether a file name is a manifest's. Kustomizations are for `kubectl apply -k` and are left alone. */
export const isManifestFile = (name: string): boolean =>
  !name.startsWith('.') && ['.yaml', '.yml'].includes(extname(name)) && !KUSTOMIZATIONS.has(name)

/** What a look at one root found. */
export type Listing = {
  readonly kind: 'directory' | 'file' | 'unread'
  /** Stamps of the manifests by path, sorted. */
  readonly stamps: ReadonlyMap<string, FileStamp>
  /** Folders and files that could not be looked at, each with the reason. What they hold now is not known. */
  readonly unread: ReadonlyMap<string, string>
}

/**
 * Looks for the manifests of a root: a directory, or one file. Undefined when the root is not there. Linked files count
 * (a mounted ConfigMap is made of links), linked folders do not (they may go in circles).
 */
export function listManifests(root: string): Listing | undefined {
  const unread = new Map<string, string>()
  const attempt = <T>(path: string, look: () => T): T | undefined => {
    try {
      return look()
    } catch (error) {
      const code = codeOf(error)
      // A link to nothing, or what vanished while the tree was walked, holds nothing.
      if (code !== 'ENOENT') unread.set(path, code)
      return undefined
    }
  }
  const pathsIn = (folder: string): string[] => {
    const entries = attempt(folder, () => readdirSync(folder, { withFileTypes: true })) ?? []
    return entries.flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return isManifestFolder(entry.name) ? pathsIn(path) : []
      return isManifestFile(entry.name) ? [path] : []
    })
  }
  const found = attempt(root, () => statSync(root))
  if (found === undefined) return unread.size === 0 ? undefined : { kind: 'unread', stamps: new Map(), unread }
  const kind = found.isDirectory() ? 'directory' : 'file'
  const stamps = new Map<string, FileStamp>()
  for (const path of kind === 'directory' ? pathsIn(root).sort() : [root]) {
    const stamp = attempt(path, () => stampOf(path))
    if (stamp !== undefined) stamps.set(path, stamp)
  }
  return { kind, stamps, unread }
}

/** Undefined for what is no file. Throws what `stat` throws. */
export function stampOf(path: string): FileStamp | undefined {
  const stats = statSync(path, { bigint: true })
  if (!stats.isFile()) return undefined
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  // A rename changes ctime alone.
  return {
    key: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`,
    inode: Number(ino),
    size: Number(size),
    moved: ctimeNs > mtimeNs,
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error)

import { type BigIntStats, readdirSync, statSync } from 'node:fs'
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

/**
 * Stamps of a root's manifests by path, sorted; the root itself when it is a file; undefined when the root is not
 * there. Linked files count (a mounted ConfigMap is made of links), linked folders do not (they may go in circles).
 */
export function listManifests(root: string): Map<string, FileStamp> | undefined {
  const found = statOf(root)
  if (found === undefined) return undefined
  const paths = found.isDirectory() ? pathsIn(root).sort() : [root]
  return new Map(
    paths.flatMap((path) => {
      const stamp = stampOf(path)
      return stamp === undefined ? [] : [[path, stamp] as const]
    }),
  )
}

/** Undefined for what is no file, or is not there. */
export function stampOf(path: string): FileStamp | undefined {
  const stats = statOf(path)
  if (stats === undefined || !stats.isFile()) return undefined
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  // A rename changes ctime alone.
  return {
    key: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`,
    inode: Number(ino),
    size: Number(size),
    moved: ctimeNs > mtimeNs,
  }
}

function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true })
  } catch {
    // Not there, a link to nothing, or not to be reached: either way there is nothing to read.
    return undefined
  }
}

function pathsIn(folder: string): string[] {
  return entriesOf(folder).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return isManifestFolder(entry.name) ? pathsIn(path) : []
    return isManifestFile(entry.name) ? [path] : []
  })
}

/** A folder that cannot be read, or vanished while the tree was walked, holds nothing. */
function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    return []
  }
}

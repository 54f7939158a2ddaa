import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { watch } from 'chokidar'
import { createWake } from '../../runtime/files/index.ts'
import { isManifestFile, isManifestFolder } from './list-manifests.ts'
import { createManifestFiles, type Scan } from './manifest-files.ts'
import { EMPTY_SET, eventsBetween, type ManifestSet, mergeFiles, objectKey, type SourceEvent } from './manifest-set.ts'
import type { Origin } from './manifests.ts'

/** The look that finds what a lost file event would have told, in milliseconds. */
const RECONCILE_MS = 1000
/** The same while something cannot be read: nothing tells when that ends. */
const UNREAD_MS = 100

/** The manifests of several directories as a watch would show them. */
export interface DirectorySource {
  /**
   * The objects that are there, then `BOOKMARK`, then changes. A directory that vanishes keeps its objects and yields
   * FAILED; one that returns is read again. Ends when the signal aborts, and only then.
   */
  events(signal: AbortSignal): AsyncIterable<SourceEvent>
  /** Where the object that counts under this name was declared. */
  originOf(kind: string, name: string): Origin | undefined
}

/** @param roots directories or single files, in the order in which they take precedence */
export function createDirectorySource(roots: readonly string[]): DirectorySource {
  let set: ManifestSet = EMPTY_SET
  return {
    originOf: (kind, name) => set.objects.get(objectKey(kind, name))?.origin,
    async *events(signal) {
      const files = createManifestFiles(roots)
      const wake = createWake(signal)
      const watcher = watchRoots(roots, wake.notify)
      signal.addEventListener('abort', () => void watcher.close(), { once: true })
      let isListed = false
      try {
        while (!signal.aborted) {
          const scan = files.scan(performance.now())
          if (scan.type === 'settled') {
            const next = withUnread(mergeFiles(scan.files), scan.unread)
            const events = eventsBetween(set, next, scan.seenAt)
            set = next
            yield* events
            if (!isListed) yield { type: 'BOOKMARK', seenAt: scan.seenAt }
            isListed = true
          }
          await wake.sleep(sleepOf(scan))
        }
      } finally {
        await watcher.close()
      }
    },
  }
}

function sleepOf(scan: Scan): number {
  if (scan.type === 'resting') return scan.ms
  return scan.doubtMs ?? (scan.unread.size > 0 ? UNREAD_MS : RECONCILE_MS)
}

function watchRoots(roots: readonly string[], notify: () => void) {
  const watched = roots.map(watchedPath)
  const ignored = (path: string, stats?: { isFile(): boolean; isDirectory(): boolean }) => {
    if (watched.includes(path) || stats === undefined) return false
    return stats.isDirectory() ? !isManifestFolder(basename(path)) : stats.isFile() && !isManifestFile(basename(path))
  }
  const watcher = watch(watched, { ignoreInitial: true, followSymlinks: false, atomic: false, ignored })
  // A watcher that fails loses speed, not changes: the regular look finds them.
  return watcher.on('all', notify).on('raw', notify).on('ready', notify).on('error', notify)
}

/** The path as the watcher tells it. Links to a directory are followed, one to a file is watched itself. */
function watchedPath(root: string): string {
  const path = resolve(root)
  try {
    return statSync(path).isFile() ? join(realpathSync(dirname(path)), basename(path)) : realpathSync(path)
  } catch {
    // Not there yet.
    return path
  }
}

function withUnread(set: ManifestSet, unread: ReadonlyMap<string, string>): ManifestSet {
  const problems = new Map(set.problems)
  for (const [file, why] of unread) {
    const message = `${why}; what it declared goes on serving until it can be read again`
    problems.set(file, { text: '', problems: [{ reason: 'DirectoryNotFound', message, file }] })
  }
  return { ...set, problems }
}

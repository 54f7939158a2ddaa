import { basename } from 'node:path'
import { watch } from 'chokidar'
import { createWake } from '../../runtime/files/index.ts'
import { isManifestFile, isManifestFolder } from './list-manifests.ts'
import { createManifestFiles } from './manifest-files.ts'
import { EMPTY_SET, eventsBetween, type ManifestSet, mergeFiles, objectKey, type SourceEvent } from './manifest-set.ts'
import type { Origin } from './manifests.ts'

/** The look that finds what a lost file event would have told, in milliseconds. */
const RECONCILE_MS = 1000

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
            const next = withMissing(mergeFiles(scan.files), scan.missing)
            const events = eventsBetween(set, next)
            set = next
            yield* events
            if (!isListed) yield { type: 'BOOKMARK' }
            isListed = true
          }
          await wake.sleep(scan.type === 'resting' ? scan.ms : RECONCILE_MS)
        }
      } finally {
        await watcher.close()
      }
    },
  }
}

function watchRoots(roots: readonly string[], notify: () => void) {
  const ignored = (path: string, stats?: { isFile(): boolean; isDirectory(): boolean }) => {
    if (roots.includes(path) || stats === undefined) return false
    return stats.isDirectory() ? !isManifestFolder(basename(path)) : stats.isFile() && !isManifestFile(basename(path))
  }
  const watcher = watch([...roots], { ignoreInitial: true, followSymlinks: false, atomic: false, ignored })
  // A watcher that fails loses speed, not changes: the regular look finds them.
  return watcher.on('all', notify).on('raw', notify).on('error', notify)
}

function withMissing(set: ManifestSet, missing: readonly string[]): ManifestSet {
  const message = 'is not there; what it declared goes on serving until it returns'
  const problems = new Map(set.problems)
  for (const file of missing) {
    problems.set(file, { text: '', problems: [{ reason: 'DirectoryNotFound', message, file }] })
  }
  return { ...set, problems }
}

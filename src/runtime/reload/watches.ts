import { basename, join, matchesGlob } from 'node:path'
import type { BundleFiles } from '../../api/index.ts'
import type { Log } from '../../log.ts'
import { watchDirectory } from '../files/directory-source.ts'
import { shapeOf } from '../files/read.ts'
import type { ReloadEvent } from './callbacks.ts'
import { type FileChange, fileChanges } from './record.ts'

/** A directory to be told of besides the bundles. */
export type WatchConfig = {
  readonly path: string
  /** Globs of file names (`*.md`), or, with a slash, of paths within the directory (`drafts/*.md`). */
  readonly patterns: readonly string[]
  /** Also what is in its folders. Default true. */
  readonly recursive?: boolean
  /** Default true. */
  readonly enabled?: boolean
}

export type WatchPort = {
  readonly log: Log
  /** Seconds since 1970. */
  readonly now: () => number
  readonly tell: (event: ReloadEvent, change: FileChange) => void
}

/**
 * Tells of each file that is created, modified or deleted in a directory from now on. A missing directory is warned of
 * and skipped. Resolves when the signal has aborted and nothing is watched any more, or at once when there is nothing to
 * watch.
 */
export async function watchExtra(config: WatchConfig, port: WatchPort, signal: AbortSignal): Promise<void> {
  const { path, enabled = true } = config
  if (!enabled) return
  if (shapeOf(path).kind === 'absent') {
    port.log.warn(`Watch path does not exist: ${path}`)
    return
  }
  let before: BundleFiles | undefined
  for await (const event of watchDirectory(path, signal)) {
    if (event.type === 'failed') {
      port.log.warn(`Watch path cannot be read: ${path}`, { reason: event.problem.message })
      continue
    }
    const after = { name: path, ...event.bundle }
    const changes = before === undefined ? [] : fileChanges(before, after)
    before = after
    for (const change of changes.filter((each) => matches(config, each.path))) {
      const timestamp = port.now()
      port.tell({ path: join(path, change.path), event_type: change.change, timestamp }, change)
    }
  }
}

function matches({ patterns, recursive = true }: WatchConfig, path: string): boolean {
  if (!recursive && path.includes('/')) return false
  return patterns.some((pattern) => matchesGlob(pattern.includes('/') ? path : basename(path), pattern))
}

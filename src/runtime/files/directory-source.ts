import { createLook, type Shown } from './look.ts'
import { shapeOf } from './read.ts'
import { createDirectoryWatch, createWake, type DirectoryWatch } from './watch.ts'

/** How long it took, in milliseconds, from the first notice of a change until it was at rest, and to read it. */
export type DirectoryTiming = { readonly detectMs: number; readonly readMs: number }

/** What a directory shows now, or why it cannot be read. */
export type DirectoryEvent =
  | (Extract<Shown, { type: 'files' }> & { readonly timing: DirectoryTiming })
  | Extract<Shown, { type: 'failed' }>

/** How often to look although nothing was heard, in milliseconds. */
const RECONCILE_MS = 1000
const ABSENT_MS = 100

export type WatchOptions = {
  /** How often to look although nothing was heard, in milliseconds. */
  readonly reconcileMs?: number
  /** What tells of changes. */
  readonly createWatch?: (notify: () => void) => DirectoryWatch
}

const timed = (shown: Shown, timing: DirectoryTiming): DirectoryEvent =>
  shown.type === 'files' ? { ...shown, timing } : shown

/** Measures from the first notice of a change, if there was one, to the look that sees it at rest. */
function createStopwatch() {
  let noticedAt: number | undefined
  return {
    noticed(): void {
      noticedAt ??= performance.now()
    },
    seen(lookedAt: number): DirectoryTiming {
      const detectMs = lookedAt - (noticedAt ?? lookedAt)
      noticedAt = undefined
      return { detectMs, readMs: performance.now() - lookedAt }
    },
  }
}

const keyOf = (shown: Shown): string => (shown.type === 'files' ? shown.bundle.hash : JSON.stringify(shown.problem))

/**
 * What a directory shows, from now on: one event at once, then one whenever its content or the reason why it cannot be
 * read has changed. A reader that is slow gets the latest only. The directory may appear late, vanish and return. Ends
 * when the signal aborts, and never throws.
 */
export async function* watchDirectory(
  directory: string,
  signal: AbortSignal,
  { reconcileMs = RECONCILE_MS, createWatch = createDirectoryWatch }: WatchOptions = {},
): AsyncGenerator<DirectoryEvent, void> {
  const wake = createWake(signal)
  const stopwatch = createStopwatch()
  const watch = createWatch(() => {
    stopwatch.noticed()
    wake.notify()
  })
  const look = createLook(directory)
  let told = ''
  try {
    while (!signal.aborted) {
      const lookedAt = performance.now()
      const shape = shapeOf(directory)
      watch.follow(shape)
      const result = look(shape, performance.now())
      if (result.type === 'seen') {
        const timing = stopwatch.seen(lookedAt)
        const key = keyOf(result.shown)
        if (key !== told) yield timed(result.shown, timing)
        told = key
      }
      await wake.sleep(result.againMs ?? (shape.kind === 'absent' ? ABSENT_MS : reconcileMs))
    }
  } finally {
    await watch.close()
  }
}

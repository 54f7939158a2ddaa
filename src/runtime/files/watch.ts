import { relative, sep } from 'node:path'
import { type FSWatcher, watch } from 'chokidar'
import type { DirectoryShape } from './read.ts'

/** Lets one loop sleep until something happens. What happens while the loop works ends its next sleep. */
export type Wake = {
  notify(): void
  /** Resolves after `notify`, after `ms` or when the signal aborts; events of one turn of the event loop count as one. */
  sleep(ms: number): Promise<void>
}

export function createWake(signal: AbortSignal): Wake {
  let pending = false
  let resume = () => {}
  return {
    notify() {
      pending = true
      resume()
    },
    async sleep(ms) {
      if (!pending && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>()
        const timer = setTimeout(resolve, ms)
        resume = resolve
        signal.addEventListener('abort', resume)
        await promise
        clearTimeout(timer)
        signal.removeEventListener('abort', resume)
        resume = () => {}
      }
      await new Promise(setImmediate)
      pending = false
    },
  }
}

/** Tells that something may have changed in a directory; what did is for the reader to find out. */
export interface DirectoryWatch {
  /**
   * Watches the directory in the shape it has now, where links lead; does nothing while that stays the same. Never
   * throws: a directory that cannot be watched is tried again, at most every 10 s.
   */
  follow(shape: DirectoryShape): void
  close(): Promise<void>
}

/** The kernel's limits of watches are of a user and its node: what others give back becomes free. */
const RETRY_MS = 10_000

export type DirectoryWatchOptions = {
  /** After how many milliseconds a watch that has failed is tried again. */
  readonly retryMs?: number
}

type Watching =
  | { readonly type: 'nothing' }
  | { readonly type: 'watching' | 'failed'; readonly key: string; readonly watcher: FSWatcher; readonly since: number }

const keyOf = (shape: DirectoryShape): string => (shape.kind === 'absent' ? '' : `${shape.kind} ${shape.id}`)

/** Events may be lost, come late or never, so a reader looks by itself from time to time as well. */
export function createDirectoryWatch(
  notify: () => void,
  { retryMs = RETRY_MS }: DirectoryWatchOptions = {},
): DirectoryWatch {
  let state: Watching = { type: 'nothing' }
  const closing = new Set<Promise<void>>()
  const stop = () => {
    if (state.type === 'nothing') return
    const closed = state.watcher.close().finally(() => closing.delete(closed))
    closing.add(closed)
    state = { type: 'nothing' }
  }
  const isFollowed = (shape: DirectoryShape): boolean => {
    if (state.type === 'nothing') return shape.kind === 'absent'
    const isDue = state.type === 'failed' && performance.now() - state.since >= retryMs
    return state.key === keyOf(shape) && !isDue
  }
  const start = (shape: DirectoryShape) => {
    if (shape.kind === 'absent') return
    const watcher = (shape.kind === 'mount' ? watchMount : watchPlain)(shape.location, notify)
    const key = keyOf(shape)
    state = { type: 'watching', key, watcher, since: performance.now() }
    watcher.on('error', () => {
      if (state.type !== 'nothing' && state.watcher === watcher) state = { ...state, type: 'failed' }
      notify()
    })
  }
  return {
    follow(shape) {
      if (isFollowed(shape)) return
      stop()
      start(shape)
    },
    async close() {
      stop()
      await Promise.all(closing)
    },
  }
}

/** The one event per swap of a mount: the rename onto `..data`. What is in it is of no interest to the watcher. */
function watchMount(directory: string, notify: () => void): FSWatcher {
  const ignored = (path: string) => path !== directory
  return watch(directory, { ignoreInitial: true, depth: 0, followSymlinks: false, ignored })
    .on('raw', (_event, path) => {
      if (path === '..data') notify()
    })
    .on('ready', notify)
}

function watchPlain(directory: string, notify: () => void): FSWatcher {
  const hidden = (path: string) =>
    relative(directory, path)
      .split(sep)
      .some((part) => part === 'node_modules' || (part.startsWith('.') && part !== '..'))
  return watch(directory, { ignoreInitial: true, followSymlinks: false, ignored: hidden, atomic: false })
    .on('raw', notify)
    .on('all', notify)
    .on('ready', notify)
}

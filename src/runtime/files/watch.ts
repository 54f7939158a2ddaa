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
export type DirectoryWatch = {
  /** Watches the directory in the shape it has now, where links lead; does nothing while that stays the same. */
  follow(shape: DirectoryShape): void
  close(): Promise<void>
}

const keyOf = (shape: DirectoryShape): string => (shape.kind === 'absent' ? '' : `${shape.kind} ${shape.id}`)

/** Events may be lost or come late, so a reader looks by itself from time to time as well. */
export function createDirectoryWatch(notify: () => void): DirectoryWatch {
  let watcher: FSWatcher | undefined
  let watched = ''
  const closing = new Set<Promise<void>>()
  const stop = () => {
    if (watcher === undefined) return
    const closed = watcher.close().finally(() => closing.delete(closed))
    closing.add(closed)
    watcher = undefined
    watched = ''
  }
  return {
    follow(shape) {
      if (keyOf(shape) === watched) return
      stop()
      if (shape.kind === 'mount') watcher = watchMount(shape.location, notify)
      if (shape.kind === 'plain') watcher = watchPlain(shape.location, notify)
      watched = keyOf(shape)
    },
    async close() {
      stop()
      await Promise.all(closing)
    },
  }
}

/** The one event per swap of a mount: the rename onto `..data`. */
function watchMount(directory: string, notify: () => void): FSWatcher {
  return watch(directory, { ignoreInitial: true, depth: 0, followSymlinks: false })
    .on('raw', (_event, path) => {
      if (path === '..data') notify()
    })
    .on('ready', notify)
    .on('error', notify)
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
    .on('error', notify)
}

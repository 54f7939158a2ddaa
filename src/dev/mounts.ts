import { problemOf } from '../api/index.ts'
import { type BundleFiles, watchDirectory } from '../runtime/files/index.ts'
import type { MountedBundles } from '../runtime/registry/index.ts'

/** Brings directories to a runtime as its mounted bundles. */
export interface Mounts {
  /**
   * Mounts exactly these directories: starts those that are new, withdraws those that are no longer named.
   * Resolves when what each new one shows has been offered.
   */
  follow(directories: ReadonlyMap<string, string>): Promise<void>
  /** Resolves when nothing is watched any more. To be called after the signal has aborted. */
  ended(): Promise<void>
}

type Mount = { readonly directory: string; readonly stop: AbortController; readonly done: Promise<void> }

/** What a session wants to know of its mounts. */
export type MountsObserver = {
  /** A version is about to be offered. */
  offering(bundle: BundleFiles): void
  /** The runtime has dealt with what a directory showed. */
  settled(): void
}

export function createMounts(runtime: MountedBundles, observer: MountsObserver, signal: AbortSignal): Mounts {
  const mounts = new Map<string, Mount>()
  const ending = new Set<Promise<void>>()

  const start = (name: string, directory: string): Promise<void> => {
    const first = Promise.withResolvers<void>()
    const stop = new AbortController()
    const follow = followDirectory(
      { name, directory, runtime, observer },
      AbortSignal.any([signal, stop.signal]),
      first,
    )
    const done = follow.finally(() => ending.delete(done))
    ending.add(done)
    mounts.set(name, { directory, stop, done })
    return first.promise
  }
  return {
    async follow(directories) {
      for (const [name, { directory, stop, done }] of mounts) {
        if (directories.get(name) === directory) continue
        mounts.delete(name)
        stop.abort()
        await done
        if (!directories.has(name)) await runtime.withdraw(name)
      }
      const started = [...directories].filter(([name]) => !mounts.has(name))
      await Promise.all(started.map(([name, directory]) => start(name, directory)))
    },
    async ended() {
      await Promise.all(ending)
    },
  }
}

type Followed = {
  readonly name: string
  readonly directory: string
  readonly runtime: MountedBundles
  readonly observer: MountsObserver
}

async function followDirectory(
  { name, directory, runtime, observer }: Followed,
  signal: AbortSignal,
  first: { resolve(): void },
): Promise<void> {
  let isOffered = false
  try {
    for await (const event of watchDirectory(directory, signal)) {
      if (event.type === 'failed') runtime.refuse(name, event.problem)
      else if (event.bundle.files.size > 0) {
        isOffered = true
        const bundle = { name, ...event.bundle }
        observer.offering(bundle)
        await runtime.offer(bundle)
      } else if (isOffered) await runtime.withdraw(name)
      first.resolve()
      observer.settled()
    }
  } catch (error) {
    runtime.refuse(name, problemOf(error, 'DirectoryNotFound'))
  } finally {
    first.resolve()
  }
}

import { type BundleFiles, type Problem, problemOf } from '../api/index.ts'
import { type DirectoryEvent, watchDirectory } from '../runtime/files/index.ts'
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
  /** The bundle of this name is about to be refused or withdrawn. */
  saw?(name: string): void
  /** The runtime has dealt with what a directory showed. */
  settled(): void
}

/** @param reading `once`: each directory is read when it is there, and not again */
export function createMounts(
  runtime: MountedBundles,
  observer: MountsObserver,
  signal: AbortSignal,
  reading: 'always' | 'once' = 'always',
): Mounts {
  const mounts = new Map<string, Mount>()
  const ending = new Set<Promise<void>>()

  const start = (name: string, directory: string): Promise<void> => {
    const first = Promise.withResolvers<void>()
    const stop = new AbortController()
    const follow = followDirectory(
      { name, directory, runtime, observer, reading },
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
  readonly reading: 'always' | 'once'
}

/** Goes on until the signal aborts, whatever becomes of one version. */
async function followDirectory(followed: Followed, signal: AbortSignal, first: { resolve(): void }): Promise<void> {
  const bring = createBringer(followed)
  try {
    for await (const event of watchDirectory(followed.directory, signal)) {
      await bring(event)
      first.resolve()
      followed.observer.settled()
      if (followed.reading === 'once' && event.type === 'files') return
    }
  } finally {
    first.resolve()
  }
}

/** Brings what one directory shows to the runtime. Anything that goes wrong refuses that version. */
function createBringer({ name, runtime, observer }: Followed): (event: DirectoryEvent) => Promise<void> {
  let isOffered = false
  const refuse = (problem: Problem) => {
    observer.saw?.(name)
    runtime.refuse(name, problem)
  }
  const bring = async (event: DirectoryEvent): Promise<void> => {
    if (event.type === 'failed') return refuse(event.problem)
    if (event.bundle.files.size > 0) {
      isOffered = true
      const bundle = { name, ...event.bundle }
      observer.offering(bundle)
      await runtime.offer(bundle, event.timing)
    } else if (isOffered) {
      observer.saw?.(name)
      await runtime.withdraw(name)
    }
  }
  return async (event) => {
    try {
      await bring(event)
    } catch (error) {
      refuse(problemOf(error, 'ToolLoadFailed'))
    }
  }
}

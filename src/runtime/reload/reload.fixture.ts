import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Log, LogFields } from '../../log.ts'
import { createMetrics } from '../../metrics.ts'
import { directoryWith, type Sources, writeAll } from '../files/bundle.fixture.ts'
import type { MountedBundles } from '../registry/index.ts'
import { createRuntime, type Runtime } from '../runtime.ts'
import { createInThreadHost } from '../tools/index.ts'

export type Line = { readonly level: string; readonly message: string; readonly fields: LogFields }

/** A log that keeps its lines. */
export function keptLog(): { log: Log; lines: Line[]; messages(): string[] } {
  const lines: Line[] = []
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}) =>
      void lines.push({ level, message, fields })
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { log, lines, messages: () => lines.map(({ message }) => message) }
}

/** Waits for a condition, for 5 s at most. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 5_000
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`never: ${what}`)
    await pause(1)
  }
}

/** A runtime that follows a real directory as bundle `files`. */
export type Followed = ReturnType<typeof keptLog> & {
  readonly runtime: Runtime
  readonly directory: string
  write(path: string, source: string): Promise<void>
  remove(path: string): Promise<void>
  call(tool: string): Promise<unknown>
  [Symbol.asyncDispose](): Promise<void>
}

type Mounts = { follow(directories: ReadonlyMap<string, string>): Promise<void>; ended(): Promise<void> }
type MountsObserver = { offering(): void; settled(): void }

/** Whoever brings directories to a runtime. */
export type CreateMounts = (
  runtime: MountedBundles,
  observer: MountsObserver,
  signal: AbortSignal,
  reading: 'always' | 'once',
) => Mounts

export async function following(createMounts: CreateMounts, sources: Sources, hotReload: boolean): Promise<Followed> {
  const { path: directory, remove } = await directoryWith(sources)
  const stop = new AbortController()
  const kept = keptLog()
  const options = { host: createInThreadHost(), metrics: createMetrics({ process: false }), reloadLog: kept.log }
  const runtime = createRuntime({ ...options, mounts: ['files'], hotReload }, stop.signal)
  const observer = { offering: () => undefined, settled: () => undefined }
  const mounts = createMounts(runtime.registry, observer, stop.signal, hotReload ? 'always' : 'once')
  await mounts.follow(new Map([['files', directory]]))
  return {
    ...kept,
    runtime,
    directory,
    write: (path, source) => writeAll(directory, { [path]: source }),
    remove: (path) => rm(join(directory, path)),
    async call(tool) {
      const served = runtime.registry.current.tools.get(tool)
      return served?.bundle.tools.call(tool, {}, { signal: stop.signal })
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the test is over'))
      await mounts.ended()
      await remove()
    },
  }
}

/** A tool that answers a text. */
export const toolSaying = (text: string, before = ''): string =>
  `${before}export default { description: 'says', parameters: { type: 'object' }, execute: () => ${JSON.stringify(text)} }\n`

/** A tool that answers what a helper exports. */
export const toolFrom = (specifier: string): string =>
  `import { text } from ${JSON.stringify(specifier)}\nexport default { description: 'says', parameters: { type: 'object' }, execute: () => text }\n`

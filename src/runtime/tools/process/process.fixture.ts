import { readdirSync, readFileSync } from 'node:fs'
import type { EndCause } from '../../../api/index.ts'
import { bundleFrom, type Sources } from '../../files/bundle.fixture.ts'
import type { ToolLoadOptions, ToolSet } from '../port.ts'
import { createProcessHost, type ProcessHost, type ProcessHostOptions } from './process-host.ts'

/** A process host for tests, and what it told of. */
export type TriedHost = {
  readonly host: ProcessHost
  readonly restarts: EndCause[]
  readonly load: (sources: Sources, options?: Partial<ToolLoadOptions> & { readonly name?: string }) => Promise<ToolSet>
  /** Ends all processes. */
  close(): Promise<void>
}

export function triedHost(options: Partial<ProcessHostOptions> & { memoryMiB?: number } = {}): TriedHost {
  const hosting = { memoryMiB: options.memoryMiB ?? 256 }
  const stop = new AbortController()
  const restarts: EndCause[] = []
  const onRestart = (cause: EndCause) => void restarts.push(cause)
  const host = createProcessHost({ output: 'ignore', onRestart, ...options }, stop.signal)
  return {
    host,
    restarts,
    load: (sources, { name = 'support', packages = [], timeoutMs = 10_000, ...others } = {}) =>
      host.load(bundleFrom(sources, name), { packages, timeoutMs, hosting, ...others }),
    close: () => {
      stop.abort(new Error('the test is over'))
      return host.closed
    },
  }
}

/** A tool file that says nothing but what it does. */
export const toolOf = (body: string, more = ''): string =>
  `export default { description: 'does it', ${more} execute: ${body} }`

/** A call without a run, which is given up after a while. */
export const callOf = (set: ToolSet, tool: string, args = {}, limitMs = 20_000): Promise<unknown> =>
  set.call(tool, args, { signal: AbortSignal.timeout(limitMs) })

/** Ids of the processes that this one has started and that are not gone. */
export function children(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === process.pid)
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1])
  } catch {
    return undefined
  }
}

/** Whether there is a process, be it only as a zombie. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const LONGEST_WAIT_MS = 15_000

export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const signal = AbortSignal.timeout(LONGEST_WAIT_MS)
  while (!(await holds())) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

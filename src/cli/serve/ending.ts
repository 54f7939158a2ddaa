import { writeFile } from 'node:fs/promises'
import type { Metrics } from '../../metrics.ts'
import type { Drained, Scrapes } from '../../runtime/server/index.ts'
import { type Io, plural } from '../io.ts'

/** How a process ends that was asked to stop. Times are in milliseconds. */
export type Ending = {
  /** How long runs under way may go on. */
  readonly drainMs: number
  /** How long the count of runs that were interrupted may wait to be scraped. */
  readonly finalScrapeMs: number
  /** File whose text Kubernetes keeps as the message of a container's end. */
  readonly terminationLog?: string | undefined
}

export function tellWaiting(runs: number, { drainMs }: Ending, io: Io): void {
  if (runs === 0 || drainMs === 0) return
  io.stderr.write(`waiting ${drainMs / 1000} s for ${plural(runs, 'run')}; Ctrl-C again stops at once\n`)
}

type Tell = {
  readonly io: Io
  readonly metrics: Pick<Metrics, 'sessionsInterrupted'>
  readonly scrapes: Pick<Scrapes, 'next'>
  /** Its abort ends the wait for a scrape. */
  readonly signal: AbortSignal
}

/**
 * Tells of the runs that the end interrupted: in the metrics, on stderr and in the termination log. Resolves when the
 * metrics that tell it were scraped, or need not be waited for; at once when no run was interrupted.
 */
export async function tellInterrupted(drained: Drained, ending: Ending, tell: Tell): Promise<void> {
  if (drained.type === 'quiet' || drained.runs === 0) return
  const { io, metrics, scrapes, signal } = tell
  const { drainMs, finalScrapeMs, terminationLog } = ending
  metrics.sessionsInterrupted(drained.runs)
  const after = drainMs === 0 ? '' : ` after ${drainMs / 1000} s of drain`
  const line = `${plural(drained.runs, 'run')} interrupted${after}\n`
  io.stderr.write(line)
  const [scrape] = await Promise.all([scrapes.next(finalScrapeMs, signal), keep(line, terminationLog, io)])
  if (scrape === 'missed' && finalScrapeMs > 0)
    io.stderr.write(`nobody scraped the metrics within ${finalScrapeMs / 1000} s after that\n`)
}

/** The end goes on without it. */
async function keep(line: string, file: string | undefined, io: Io): Promise<void> {
  if (file === undefined) return
  await writeFile(file, line).catch((error: Error) => {
    io.stderr.write(`cannot write --termination-log: ${error.message}\n`)
  })
}

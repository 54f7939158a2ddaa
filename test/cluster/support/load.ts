import { Client, type Dispatcher, Pool } from 'undici'
import { type Line, streamRun } from './talk.ts'

/** A run that is asked for again and again, and whether an answer is one that may be given now. */
export type LoadRun = {
  readonly path: string
  readonly message: string
  readonly isRight: (answer: string) => boolean
}

export type LoadOptions = {
  /** Asked in turn. */
  readonly lines: readonly Line[]
  /** Asked for in turn. */
  readonly runs: readonly LoadRun[]
  /** Runs that are begun each second, whatever becomes of those before. */
  readonly perSecond: number
  /** Of how many runs one opens a connection of its own; the others share those that are kept open. */
  readonly newConnectionEvery: number
}

export type LoadFailure = {
  /** Since the load began. */
  readonly atMs: number
  readonly path: string
  readonly connection: 'new' | 'kept'
  readonly reason: string
}

export type LoadReport = {
  readonly runs: number
  readonly failures: readonly LoadFailure[]
  /** From a run's request to the end of its stream, in ms, of those that did not fail. */
  readonly latencies: readonly number[]
  readonly seconds: number
  /** How late runs were begun at worst, in ms: the machine is too busy to tell where that is much. */
  readonly lagMs: number
}

/** Streamed runs at a steady rate. */
export interface Load {
  /** So far. */
  readonly failures: readonly LoadFailure[]
  /** Begins no more, and waits for those under way; the same again when it is called again. */
  stop(): Promise<LoadReport>
}

const TICK_MS = 5
/** A run that takes longer is a failure. */
const LIMIT_MS = 30_000

export function startLoad({ lines, runs, perSecond, newConnectionEvery }: LoadOptions): Load {
  const started = performance.now()
  const pools = new Map(lines.map((line) => [line, new Pool(line.url, TIMEOUTS)]))
  const failures: LoadFailure[] = []
  const latencies: number[] = []
  const underWay = new Set<Promise<void>>()
  let begun = 0
  let lagMs = 0

  const one = async (line: Line, run: LoadRun, connection: 'new' | 'kept') => {
    const from = performance.now()
    const dispatcher: Dispatcher | undefined = connection === 'new' ? new Client(line.url, TIMEOUTS) : pools.get(line)
    try {
      const answer = await streamRun(line, run.path, run.message, dispatcher)
      if (!run.isRight(answer)) throw new Error(`wrong answer "${answer.slice(0, 200)}"`)
      latencies.push(performance.now() - from)
    } catch (error) {
      failures.push({ atMs: Math.round(from - started), path: run.path, connection, reason: reasonOf(error) })
    } finally {
      if (connection === 'new') await dispatcher?.destroy()
    }
  }
  const begin = () => {
    const number = begun++
    const line = lines[number % lines.length]
    const run = runs[Math.floor(number / lines.length) % runs.length]
    if (line === undefined || run === undefined) return
    const task = one(line, run, number % newConnectionEvery === 0 ? 'new' : 'kept')
    underWay.add(task)
    void task.finally(() => underWay.delete(task))
  }
  const timer = setInterval(() => {
    const due = ((performance.now() - started) / 1000) * perSecond
    lagMs = Math.max(lagMs, ((due - begun) / perSecond) * 1000)
    while (begun < due) begin()
  }, TICK_MS)
  const end = async (): Promise<LoadReport> => {
    clearInterval(timer)
    const seconds = (performance.now() - started) / 1000
    await Promise.all(underWay)
    await Promise.all([...pools.values()].map((pool) => pool.close()))
    return { runs: begun, failures, latencies, seconds, lagMs: Math.round(lagMs) }
  }
  let report: Promise<LoadReport> | undefined
  return {
    failures,
    stop: () => {
      report ??= end()
      return report
    },
  }
}

const TIMEOUTS = { headersTimeout: LIMIT_MS, bodyTimeout: LIMIT_MS, connectTimeout: LIMIT_MS }

/** With its causes: undici's own messages say little. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? ` (${String(error.code)})` : ''
  const cause = error.cause === undefined ? '' : `: ${reasonOf(error.cause)}`
  return `${error.message}${code}${cause}`
}

/** What went wrong, each once, and how often: for people. */
export function describeFailures(failures: readonly LoadFailure[]): string {
  const counts = Map.groupBy(failures, ({ reason, connection }) => `${connection} connection: ${reason}`)
  return [...counts]
    .map(([what, found]) => `${found.length} x ${what} (${found[0]?.atMs}-${found.at(-1)?.atMs} ms)`)
    .join('\n')
}

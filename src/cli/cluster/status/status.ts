import { systemClock } from '../../../clock.ts'
import { FailureError, UsageError } from '../../config.ts'
import type { Io } from '../../io.ts'
import { checkScope, type StatusConfig } from '../config.ts'
import { type Connection, connect } from '../connect.ts'
import { nameOf, parseWanted, type Wanted } from '../objects.ts'
import { sheetOf } from '../table.ts'
import { tookText } from '../text.ts'
import { changesBetween } from './changes.ts'
import { reportLines } from './render.ts'
import { documentOf, isAllReady, missingOf, type Report, reportOn } from './report.ts'
import { createSight, type Sight } from './sight.ts'
import { createTimeline, momentLine } from './timeline.ts'

/** @returns 0 when everything that was asked for is Ready as it is declared now, else 1 */
export async function status(args: readonly string[], config: StatusConfig, io: Io): Promise<number> {
  checkScope(config)
  if (config.watch && config.wait)
    throw new UsageError('--watch and --wait cannot go together: --wait ends when all is Ready, --watch does not')
  const wanted = args.map(parseWanted)
  using connection = await connect(config, io)
  const sight = openSight(connection, config, io)
  await sight.synced()
  const look: Look = { wanted, sight, scope: scopeOf(connection, config), config, io }
  if (config.wait) return await untilReady(look, connection.signal)
  const report = show(look)
  if (config.watch) return await follow(look, connection.signal)
  return codeOf(report, look)
}

type Look = {
  readonly wanted: readonly Wanted[]
  readonly sight: Sight
  /** `in namespace team-a` */
  readonly scope: string
  readonly config: StatusConfig
  readonly io: Io
}

const scopeOf = ({ namespace }: Connection, { allNamespaces }: StatusConfig): string =>
  allNamespaces ? 'in any namespace' : `in namespace ${namespace}`

function openSight({ client, namespace, signal }: Connection, { allNamespaces }: StatusConfig, { stderr }: Io): Sight {
  const onTrouble = (message: string | undefined) => stderr.write(`${message ?? 'the API server answers again'}\n`)
  return createSight({ client, namespace: allNamespaces ? undefined : namespace, onTrouble }, signal)
}

const reportNow = ({ sight, wanted }: Look): Report => reportOn(sight.seen, wanted)

/** Prints what is seen now. */
function show(look: Look): Report {
  const { io, config, scope } = look
  const report = reportNow(look)
  if (config.output === 'json')
    io.stdout.write(`${JSON.stringify(documentOf(report), null, config.watch ? undefined : 2)}\n`)
  else if (report.runtimes.length + report.items.length > 0)
    io.stdout.write(`${reportLines(report, sheetOf(io.stdout, io.environment)).join('\n')}\n`)
  else if (look.wanted.length === 0) io.stderr.write(`nothing of Midflight is ${scope}\n`)
  return report
}

/** @throws FailureError for names that are not there */
function codeOf(report: Report, look: Look): number {
  const [missing] = missingOf(report, look.wanted)
  if (missing !== undefined)
    throw new FailureError(`there is no ${nameOf(missing.kind, missing.name ?? '')} ${look.scope}`)
  return isAllReady(report) ? 0 : 1
}

const isDone = (report: Report, look: Look): boolean =>
  isAllReady(report) && missingOf(report, look.wanted).length === 0

/** Calls back now and after every change, until it answers true. @returns false when the signal aborted before */
function untilTrue(sight: Sight, ask: () => boolean, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const look = () => {
      if (!signal.aborted && ask()) resolve(true)
    }
    signal.addEventListener('abort', () => resolve(false), { once: true })
    sight.subscribe(look)
    look()
  })
}

async function untilReady(look: Look, signal: AbortSignal): Promise<number> {
  const { config, sight, io } = look
  const late = new AbortController()
  const timer = systemClock.timer(config.timeout, () => late.abort())
  const isReady = await untilTrue(sight, () => isDone(reportNow(look), look), AbortSignal.any([signal, late.signal]))
  timer.cancel()
  const report = show(look)
  if (isReady) return 0
  if (late.signal.aborted) io.stderr.write(`error: ${waitedFor(report, look)}\n`)
  return 1
}

/** What was not Ready in time. */
function waitedFor(report: Report, look: Look): string {
  const missing = missingOf(report, look.wanted).map(({ kind, name = '' }) => `${nameOf(kind, name)} (not there)`)
  const behind = [...report.runtimes, ...report.items]
    .filter(({ standing }) => standing.state !== 'Ready')
    .map(({ kind, name, standing }) => `${nameOf(kind, name)} (${standing.state})`)
  return `not Ready after ${tookText(look.config.timeout)}: ${[...missing, ...behind].join(', ')}`
}

/** One line for each change, until the process is asked to stop. */
async function follow(look: Look, signal: AbortSignal): Promise<number> {
  const { io, sight, config } = look
  const timeline = createTimeline()
  const sheet = sheetOf(io.stdout, io.environment)
  let before = reportNow(look)
  const tell = () => {
    const seen = { now: systemClock.now(), monotonic: systemClock.monotonic() }
    const after = reportNow(look)
    for (const change of changesBetween(before, after)) {
      const moment = timeline.date(change, seen)
      const line =
        config.output === 'json'
          ? JSON.stringify({ ...moment, at: new Date(moment.at).toISOString() })
          : momentLine(moment, !config.allNamespaces, sheet)
      io.stdout.write(`${line}\n`)
    }
    before = after
  }
  const untilStopped = untilTrue(
    sight,
    () => {
      tell()
      return false
    },
    signal,
  )
  await untilStopped
  return isDone(before, look) ? 0 : 1
}

import { type DirectoryBundle, formatReport, startSession } from '../../dev/index.ts'
import { createMetrics } from '../../metrics.ts'
import { createRuntime } from '../../runtime/runtime.ts'
import type { Isolation } from '../../runtime/tools/index.ts'
import { hasColor, type Io } from '../io.ts'
import { type Loaded, reloadLines, toolHost, toolLog } from './host.ts'

export type Sources = {
  readonly manifests: readonly string[]
  readonly bundles: readonly DirectoryBundle[]
  /** Whether the directories of bundles are followed, which is the default; else they are read once. */
  readonly hotReload?: boolean
  /** Whether each reload is logged. Default false. */
  readonly reloadLog?: boolean
  /** Where tool code runs unless the settings say. Default none. */
  readonly isolation?: Isolation
}

/** Loads manifests and files into a runtime; every later change is a line on stdout. */
export async function load(
  { manifests, bundles, hotReload = true, reloadLog = false, isolation = 'none' }: Sources,
  io: Io,
  signal: AbortSignal,
): Promise<Loaded> {
  const metrics = createMetrics()
  const mounts = bundles.map(({ name }) => name)
  const log = toolLog(io)
  const options = {
    host: toolHost(isolation, metrics, signal),
    metrics,
    log,
    mounts,
    hotReload,
    loopback: true,
    ...(reloadLog && { reloadLog: reloadLines(io) }),
  }
  const runtime = createRuntime(options, signal)
  const style = { color: hasColor(io.stdout, io.environment) }
  const session = await startSession(
    {
      manifests,
      bundles,
      environment: io.environment,
      runtime: runtime.registry,
      reading: hotReload ? 'always' : 'once',
      report: (report) => io.stdout.write(`${formatReport(report, style)}\n`),
    },
    signal,
  )
  return { runtime, session, metrics }
}

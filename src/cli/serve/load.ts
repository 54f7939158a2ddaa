import { type DirectoryBundle, formatReport, startSession } from '../../dev/index.ts'
import { createMetrics } from '../../metrics.ts'
import { createRuntime } from '../../runtime/runtime.ts'
import { createInThreadHost } from '../../runtime/tools/index.ts'
import { hasColor, type Io } from '../io.ts'
import type { Loaded } from './host.ts'

export type Sources = { readonly manifests: readonly string[]; readonly bundles: readonly DirectoryBundle[] }

/** Loads manifests and files into a runtime; every later change is a line on stdout. */
export async function load({ manifests, bundles }: Sources, io: Io, signal: AbortSignal): Promise<Loaded> {
  const metrics = createMetrics()
  const mounts = bundles.map(({ name }) => name)
  const runtime = createRuntime({ host: createInThreadHost(), metrics, mounts, loopback: true }, signal)
  const style = { color: hasColor(io.stdout, io.environment) }
  const session = await startSession(
    {
      manifests,
      bundles,
      environment: io.environment,
      runtime: runtime.registry,
      report: (report) => io.stdout.write(`${formatReport(report, style)}\n`),
    },
    signal,
  )
  return { runtime, session, metrics }
}

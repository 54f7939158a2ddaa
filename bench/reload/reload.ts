import type { Context } from '../lib/bench.ts'
import { buildInto } from '../lib/build.ts'
import type { Report } from '../lib/report.ts'
import { temporaryFolder } from '../lib/temporary.ts'
import { eventLoop } from './blocking/event-loop.ts'
import { devMode } from './dev/dev-mode.ts'
import { faults } from './faults/faults.ts'
import { swaps } from './mount/swaps.ts'
import type { Part } from './part.ts'

const PARTS: readonly Part[] = [swaps, eventLoop, faults, devMode]

/** How soon a changed file serves, beside others that reload; what a reload and a fault cost; that nothing bad serves. */
export async function benchReload(context: Context): Promise<Report> {
  const { only } = context
  const wanted = PARTS.filter(({ name }) => only === undefined || name === only)
  if (wanted.length === 0) throw new Error(`no part "${only}": there are ${PARTS.map(({ name }) => name).join(', ')}`)
  using home = temporaryFolder()
  const main = buildInto(home.path)
  const reports: [string, Report][] = []
  for (const { name, measure } of wanted) {
    context.say(`reload: ${name}`)
    using folder = temporaryFolder()
    reports.push([name, await measure({ ...context, main, home: folder.path })])
  }
  return {
    targets: reports.flatMap(([, { targets }]) => targets),
    tables: reports.flatMap(([, { tables }]) => tables),
    data: Object.fromEntries(reports.map(([name, { data }]) => [name, data])),
  }
}

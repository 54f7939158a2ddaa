import type { Context } from '../lib/bench.ts'
import { buildInto } from '../lib/build.ts'
import type { Report } from '../lib/report.ts'
import { temporaryFolder } from '../lib/temporary.ts'
import type { Part } from './part.ts'
import { burst } from './parts/burst.ts'
import { churn } from './parts/churn.ts'
import { coldStart } from './parts/cold-start.ts'
import { fleet } from './parts/fleet.ts'
import { idle } from './parts/idle.ts'
import { restart } from './parts/restart.ts'
import { serverRestart } from './parts/server-restart.ts'

const PARTS: readonly Part[] = [coldStart, burst, restart, fleet, churn, serverRestart, idle]

/** What the operator costs, and how soon it is done, on a real API server; beside a twin on controller-runtime. */
export async function benchOperator(context: Context): Promise<Report> {
  const { only } = context
  const wanted = PARTS.filter(({ name }) => only === undefined || name === only)
  if (wanted.length === 0) throw new Error(`no part "${only}": there are ${PARTS.map(({ name }) => name).join(', ')}`)
  using home = temporaryFolder()
  const main = buildInto(home.path)
  const reports: [string, Report][] = []
  for (const { name, measure } of wanted) {
    context.say(`operator: ${name}`)
    reports.push([name, await measure({ ...context, main })])
  }
  return {
    targets: reports.flatMap(([, { targets }]) => targets),
    tables: reports.flatMap(([, { tables }]) => tables),
    data: Object.fromEntries(reports.map(([name, { data }]) => [name, data])),
  }
}

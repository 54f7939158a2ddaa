import { connectNode } from '../../test/cluster/harness/node.ts'
import { unmetRequirement } from '../../test/cluster/harness/requirements.ts'
import type { Context } from '../lib/bench.ts'
import type { Report } from '../lib/report.ts'
import { install } from './install.ts'
import { mountOnly } from './mount-only.ts'
import type { Part } from './part.ts'
import { podStart } from './pod-start.ts'
import { propagation } from './propagation.ts'
import { underFire } from './under-fire.ts'

const PARTS: readonly Part[] = [propagation, mountOnly, underFire, install, podStart]

/** What users of a real node see: installed by Helm, in pods, over Services. The node stays up. */
export async function benchCluster(context: Context): Promise<Report> {
  const { only } = context
  const wanted = PARTS.filter(({ name }) => only === undefined || name === only)
  if (wanted.length === 0) throw new Error(`no part "${only}": there are ${PARTS.map(({ name }) => name).join(', ')}`)
  const reason = unmetRequirement()
  if (reason !== undefined) throw new Error(reason)
  const reports: [string, Report][] = []
  for (const { name, measure } of wanted) {
    context.say(`cluster: ${name}`)
    // One for each part: what a part made goes after it.
    await using node = await connectNode()
    reports.push([name, await measure({ ...context, node })])
  }
  return {
    targets: reports.flatMap(([, { targets }]) => targets),
    tables: reports.flatMap(([, { tables }]) => tables),
    data: Object.fromEntries(reports.map(([name, { data }]) => [name, data])),
  }
}

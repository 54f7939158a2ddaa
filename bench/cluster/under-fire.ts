import { describeFailures } from '../../test/cluster/support/load.ts'
import { openSite } from '../../test/cluster/support/site.ts'
import { storm } from '../../test/cluster/support/storm.ts'
import { spread } from '../lib/numbers.ts'
import type { Part } from './part.ts'

const FULL = { perSecond: 200, seconds: 60, many: 100 }
const QUICK = { perSecond: 50, seconds: 20, many: 10 }

/** Streamed runs at a steady rate, each checked, while everything that may change does. */
export const underFire: Part = {
  name: 'under fire',
  measure: async ({ node, quick, say }) => {
    const options = quick ? QUICK : FULL
    await using site = await openSite(node, { replicas: 3, many: options.many })
    const { runs, failures, latencies, seconds, lagMs, long, steps } = await storm(site, options)
    if (failures.length + long.broken.length > 0) {
      const events = ['get', 'events', '-n', site.team, '--field-selector', 'type=Warning']
      say([describeFailures(failures), ...long.broken, await node.kubectl(events)].join('\n'))
    }
    const { p50, p95, p99, max } = spread(latencies)
    return {
      targets: [
        { what: `${runs} runs under fire: failed requests`, unit: '', value: failures.length, atMost: 0 },
        { what: `${long.runs} streams of seconds under fire: broken`, unit: '', value: long.broken.length, atMost: 0 },
      ],
      tables: [
        {
          title: `Streamed runs while ${options.many} Agents change, a bundle breaks, pods roll and the operator restarts`,
          columns: ['runs/s', 'runs', 'failed', 'long streams', 'broken', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms'],
          rows: [[runs / seconds, runs, failures.length, long.runs, long.broken.length, p50, p95, p99, max]],
          note: `${Object.entries(steps)
            .map(([what, ms]) => `${what}: ${(ms / 1000).toFixed(1)} s`)
            .join('; ')}. The client was at most ${lagMs} ms late.`,
        },
      ],
      data: { steps, failures, broken: long.broken, lagMs },
    }
  },
}

import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { startOperator } from '../../lib/cluster/in-pod.ts'
import { residentMb } from '../../lib/machine.ts'
import { median } from '../../lib/numbers.ts'
import { until } from '../../lib/processes.ts'
import type { Report } from '../../lib/report.ts'
import { openSite, type Part } from '../part.ts'

/** The operator with nothing to do, reached as in a pod: what it holds. */
export const idle: Part = {
  name: 'idle',
  measure: async (setup) => {
    await using site = await openSite({ auditLog: false })
    const residents: number[] = []
    for (let round = 0; round < setup.rounds; round++) {
      const { child, metricsUrl } = await startOperator(setup, site.cluster, setup.main)
      const isReady = async (): Promise<true | undefined> => {
        const { statusCode, body } = await request(`${metricsUrl}/readyz`)
        await body.dump()
        return statusCode === 200 ? true : undefined
      }
      await child.whileAlive(until('the operator is ready', isReady))
      await child.whileAlive(sleep(setup.quick ? 1_000 : 15_000))
      residents.push(residentMb(child.pid))
      await child.stop()
    }
    return report(residents)
  },
}

function report(residents: readonly number[]): Report {
  const what = 'operator idle, token file only: resident'
  return {
    targets: [{ what, unit: 'MB', value: median(residents), atMost: 120 }],
    tables: [
      {
        title: 'The operator idle, in a cluster',
        columns: ['resident MB, median', 'max'],
        rows: [[median(residents), Math.max(...residents)]],
        note: '15 s after it was ready, with an AgentRuntime and no pod; the API server reached by token file and CA.',
      },
    ],
    data: { residentMb: residents },
  }
}

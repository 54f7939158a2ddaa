import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditEvent } from '../../../test/api/harness/cluster/audit-log.ts'
import { createAgents, numbers } from '../../lib/cluster/agents.ts'
import { startOperator } from '../../lib/cluster/in-pod.ts'
import { makeRuntimePod } from '../../lib/cluster/runtime-pod.ts'
import { watchAgents } from '../../lib/cluster/watch-agents.ts'
import { until } from '../../lib/processes.ts'
import type { Report } from '../../lib/report.ts'
import { openSite, type Part } from '../part.ts'
import { type PodWork, startSimulation } from '../simulation/simulation.ts'
import { describeWrites, isLease, writesOf } from '../writes.ts'

const PODS = 3

/** The operator is stopped and started again with nothing changed: what it writes, and what it asks of the pods. */
export const restart: Part = {
  name: 'restart',
  measure: async (setup) => {
    await using site = await openSite()
    const { cluster, tokenFile } = site
    const count = setup.quick ? 200 : 3_000
    // Longer than the 30 s after which a state is read again, and counts alone are written.
    const watchedMs = setup.quick ? 5_000 : 45_000
    await createAgents(cluster, count)
    const simulation = await startSimulation(setup.processes, { pods: PODS, processes: 1, tokenFile })
    for (const n of numbers(PODS)) await makeRuntimePod(cluster, n)
    await using watch = await watchAgents(cluster)
    const first = await startOperator(setup, cluster, setup.main)
    await first.child.whileAlive(watch.untilReady(count))
    // What a change of counts still has to say is said by then.
    await first.child.whileAlive(sleep(watchedMs))
    await first.child.stop()
    await simulation.reset()
    const [since, flips] = [Date.now(), watch.flips]
    const second = await startOperator(setup, cluster, setup.main)
    const fenced = until('each pod was called', async () => {
      const work = await simulation.work()
      return work.every(({ activates }) => activates > 0) || undefined
    })
    await second.child.whileAlive(fenced)
    await second.child.whileAlive(sleep(watchedMs))
    const work = await simulation.work()
    const writes = await writesOf(cluster, second.user, since)
    await second.child.stop()
    await simulation.stop()
    return report({ count, work, writes, watchedMs, flips: watch.flips - flips })
  },
}

type Finding = {
  readonly count: number
  readonly work: readonly PodWork[]
  readonly writes: readonly AuditEvent[]
  readonly watchedMs: number
  readonly flips: number
}

function report({ count, work, writes, watchedMs, flips }: Finding): Report {
  const others = writes.filter((write) => !isLease(write))
  const what = `restart with ${count.toLocaleString('en-US')} Agents unchanged`
  const most = (pick: (of: PodWork) => number): number => Math.max(...work.map(pick))
  const least = (pick: (of: PodWork) => number): number => Math.min(...work.map(pick))
  const notEmpty = ({ activates, emptyActivates, checks }: PodWork): number => activates - emptyActivates + checks
  const empty = ({ emptyActivates }: PodWork): number => emptyActivates
  return {
    targets: [
      { what: `${what}: API writes but the Lease's`, unit: '', value: others.length, atMost: 0 },
      { what: `${what}: applies that change something`, unit: '', value: most(notEmpty), atMost: 0 },
      { what: `${what}: empty applies to a pod, most`, unit: '', value: most(empty), atMost: 1 },
      { what: `${what}: empty applies to a pod, least`, unit: '', value: least(empty), atLeast: 1 },
      { what: `${what}: Agents that ceased to be Ready`, unit: '', value: flips, atMost: 0 },
    ],
    tables: [
      {
        title: `The operator started again, ${count.toLocaleString('en-US')} Agents in ${PODS} pods`,
        columns: ['writes of the Lease', 'other writes', 'empty applies per pod', 'state reads per pod'],
        rows: [[writes.length - others.length, describeWrites(others), most(empty), most(({ states }) => states)]],
        note: `Until ${watchedMs / 1000} s after the last pod was called; a state is read again every 30 s.`,
      },
    ],
    data: { work, flips, otherWrites: describeWrites(others) },
  }
}

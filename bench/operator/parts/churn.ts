import { setTimeout as sleep } from 'node:timers/promises'
import { createAgents, numbers } from '../../lib/cluster/agents.ts'
import { startOperator } from '../../lib/cluster/in-pod.ts'
import { makeRuntimePod, podName, readState, startRuntime } from '../../lib/cluster/runtime-pod.ts'
import { watchAgents } from '../../lib/cluster/watch-agents.ts'
import { until } from '../../lib/processes.ts'
import type { Report } from '../../lib/report.ts'
import { openSite, type Part } from '../part.ts'
import { describeWrites, isLease, writesOf, writesPerAgent } from '../writes.ts'

/** What one event did to the status of the Agents. */
type Effect = {
  readonly event: string
  /** From the event until the pod was whole; undefined where there is nothing to wait for. */
  readonly wholeMs: number | undefined
  readonly flips: number
  readonly writes: string
  readonly mostWrites: number
}

const PODS = 2

/** A pod joins, and leaves again, under many Agents. */
export const churn: Part = {
  name: 'churn',
  measure: async (setup) => {
    await using site = await openSite()
    const { cluster, tokenFile } = site
    const count = setup.quick ? 200 : 3_000
    // Counts alone are written at most every 30 s.
    const settleMs = setup.quick ? 5_000 : 75_000
    await createAgents(cluster, count)
    const options = { main: setup.main, tokenFile }
    const runtimes = await Promise.all(numbers(PODS).map((n) => startRuntime(setup.processes, n, options)))
    for (const n of numbers(PODS)) await makeRuntimePod(cluster, n)
    await using watch = await watchAgents(cluster)
    const { child, user } = await startOperator(setup, cluster, setup.main)
    await child.whileAlive(watch.untilReady(count))
    await sleep(settleMs)

    const effectOf = async (event: string, cause: () => Promise<number | undefined>): Promise<Effect> => {
      const [since, flips] = [Date.now(), watch.flips]
      const wholeMs = await child.whileAlive(cause())
      await sleep(settleMs)
      const writes = (await writesOf(cluster, user, since)).filter((write) => !isLease(write))
      const mostWrites = writesPerAgent(writes)[0] ?? 0
      return { event, wholeMs, flips: watch.flips - flips, writes: describeWrites(writes), mostWrites }
    }
    const joiner = await startRuntime(setup.processes, PODS, options)
    const joins = await effectOf('a pod joins', async () => {
      const begun = performance.now()
      await makeRuntimePod(cluster, PODS)
      await until('the new pod is whole', async () => (await readState(PODS)).complete || undefined)
      return performance.now() - begun
    })
    const leaves = await effectOf('a pod leaves', async () => {
      await cluster.deletePod('default', podName(PODS))
      await joiner.stop()
      return undefined
    })
    await Promise.all([child, ...runtimes].map((each) => each.stop()))
    return report([joins, leaves], { count, settleMs })
  },
}

type Sizes = { readonly count: number; readonly settleMs: number }

function report(effects: readonly Effect[], { count, settleMs }: Sizes): Report {
  return {
    targets: effects.flatMap(({ event, flips, mostWrites }) => [
      {
        what: `${event} under ${count.toLocaleString('en-US')} Agents: ceased to be Ready`,
        unit: '',
        value: flips,
        atMost: 0,
      },
      { what: `${event}: status writes of one Agent`, unit: '', value: mostWrites, atMost: 2 },
    ]),
    tables: [
      {
        title: `A pod joins ${PODS} others, and leaves again, under ${count.toLocaleString('en-US')} Agents`,
        columns: ['', 'pod whole, ms', 'Ready flips', 'writes', 'most of one Agent'],
        rows: effects.map(({ event, wholeMs, flips, writes, mostWrites }) => [
          event,
          wholeMs ?? '-',
          ...[flips, writes, mostWrites],
        ]),
        note: `Over ${settleMs / 1000} s each.`,
      },
    ],
    data: effects,
  }
}

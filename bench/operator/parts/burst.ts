import { setTimeout as sleep } from 'node:timers/promises'
import { agentName, changeAgents, createAgents, numbers } from '../../lib/cluster/agents.ts'
import { startOperator } from '../../lib/cluster/in-pod.ts'
import { makeRuntimePod, startRuntime } from '../../lib/cluster/runtime-pod.ts'
import { watchAgents } from '../../lib/cluster/watch-agents.ts'
import { median } from '../../lib/numbers.ts'
import type { Report } from '../../lib/report.ts'
import { openSite, type Part } from '../part.ts'
import { servedRevisions, untilOthersServe } from '../served.ts'
import { describeWrites, isLease, writesOf } from '../writes.ts'

type Round = {
  /** From the first change's request to the last change being served by every pod. */
  readonly servedMs: number
  /** The same from the answer to the last change's request. */
  readonly afterLastMs: number
  /** Of whatever kind, the Lease aside, per change. */
  readonly writes: number
  readonly what: string
  /** Writes later than 5 s after all were served. */
  readonly late: number
}

const PODS = 3
/** How long after all is served nothing may be written any more, and how long that is looked at. */
const QUIET_MS = 5_000

/** Many Agents changed at once: until all pods serve all of them, and what that costs the API server. */
export const burst: Part = {
  name: 'burst',
  measure: async (setup) => {
    await using site = await openSite()
    const { cluster, tokenFile } = site
    const count = setup.quick ? 20 : 200
    const agents = numbers(count)
    await createAgents(cluster, count)
    const runtimes = await Promise.all(
      numbers(PODS).map((n) => startRuntime(setup.processes, n, { main: setup.main, tokenFile })),
    )
    for (const n of numbers(PODS)) await makeRuntimePod(cluster, n)
    await using watch = await watchAgents(cluster)
    const { child, user } = await startOperator(setup, cluster, setup.main)
    await child.whileAlive(watch.untilReady(count))
    const ids = agents.map((n) => `agents/${agentName(n)}`)
    const rounds: Round[] = []
    for (let round = 0; round < Math.max(setup.quick ? 1 : 5, setup.rounds); round++) {
      await sleep(QUIET_MS)
      const before = await Promise.all(numbers(PODS).map(servedRevisions))
      const [since, begun] = [Date.now(), performance.now()]
      const changed = changeAgents(cluster, agents, `Round ${round}.`).then(() => performance.now())
      const times = await Promise.all(before.map((revisions, pod) => untilOthersServe(pod, ids, revisions)))
      const [last, served] = [await changed, Math.max(...times)]
      const quietFrom = Date.now() + QUIET_MS
      await sleep(2 * QUIET_MS)
      const writes = (await writesOf(cluster, user, since)).filter((write) => !isLease(write))
      rounds.push({
        servedMs: served - begun,
        afterLastMs: served - last,
        writes: writes.length / count,
        what: describeWrites(writes),
        late: writes.filter(({ at }) => at > quietFrom).length,
      })
      setup.say(`operator: ${count} changes served by ${PODS} pods in ${Math.round(served - begun)} ms`)
    }
    await Promise.all([child, ...runtimes].map((each) => each.stop()))
    return report(rounds, count)
  },
}

/** One write says what is served; a second one is allowed where it first had to say that it takes over a second. */
const excess = ({ servedMs, writes }: Round): number => (servedMs > 1_000 ? writes - 1 : writes)

function report(rounds: readonly Round[], count: number): Report {
  const most = (pick: (of: Round) => number): number => Math.max(...rounds.map(pick))
  const what = `${count} Agents changed at once`
  return {
    targets: [
      {
        what: `${what}: all served by ${PODS} pods`,
        unit: 's',
        value: median(rounds.map(({ servedMs }) => servedMs)) / 1000,
        atMost: 2,
      },
      {
        what: `${what}: API writes per change, less one where it took over a second`,
        unit: '',
        value: most(excess),
        atMost: 1,
      },
      { what: `${what}: API writes later than 5 s`, unit: '', value: most(({ late }) => late), atMost: 0 },
    ],
    tables: [
      {
        title: `${what}, ${PODS} pods`,
        columns: ['round', 'all served, ms', 'after the last change, ms', 'writes per change', 'late writes', 'writes'],
        rows: rounds.map(({ servedMs, afterLastMs, writes, late, what: written }, round) => [
          String(round + 1),
          ...[servedMs, afterLastMs, writes, late, written],
        ]),
        note: 'From the first request for a change to the last pod that serves the last one; the changes themselves are part of it.',
      },
    ],
    data: rounds,
  }
}

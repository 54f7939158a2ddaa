import type { Cluster } from '../../../test/api/harness/cluster.ts'
import { createAgents, resetAgents } from '../../lib/cluster/agents.ts'
import { makeAccount, startInPod, startOperator } from '../../lib/cluster/in-pod.ts'
import { MANAGEMENT_PORT, makeRuntimePod, podAddress, startRuntime } from '../../lib/cluster/runtime-pod.ts'
import { type AgentsWatch, watchAgents } from '../../lib/cluster/watch-agents.ts'
import { cpuMs, peakResidentMb } from '../../lib/machine.ts'
import { median } from '../../lib/numbers.ts'
import type { Child } from '../../lib/processes.ts'
import type { Report, Target } from '../../lib/report.ts'
import { openSite, type Part, type Setup, type Site } from '../part.ts'
import { buildPeer } from '../peer.ts'

type Subject = { readonly name: string; readonly start: () => Promise<Child> }

type Run = {
  readonly subject: string
  /** From the start of the process to the last Agent that is Ready. */
  readonly seconds: number
  readonly perSecond: number
  /** User and system, of the whole process so far. */
  readonly cpuSeconds: number
  readonly peakMb: number
}

const MIDFLIGHT = 'Midflight'
const PEER = 'twin on controller-runtime'

/** Interleaved runs of each, at least: what is compared is the medians. */
const RUNS = 7

/** Agents that are there already, from the start of an operator until all are Ready in one runtime. */
export const coldStart: Part = {
  name: 'cold start',
  measure: async (setup) => {
    await using site = await openSite({ auditLog: false })
    const { cluster } = site
    const count = setup.quick ? 300 : 3_000
    await createAgents(cluster, count)
    await makeRuntimePod(cluster, 0)
    const subjects = await subjectsOf(setup, site)
    await using watch = await watchAgents(cluster)
    const runs: Run[] = []
    for (let round = 0; round < (setup.quick ? 1 : Math.max(RUNS, setup.rounds)); round++) {
      for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
        const run = await measureRun({ setup, site, watch, count }, subject)
        setup.say(`operator: ${run.subject}: ${count} Agents Ready in ${run.seconds.toFixed(2)} s`)
        runs.push(run)
      }
    }
    return report(runs, count)
  },
}

async function subjectsOf(setup: Setup, { cluster, tokenFile }: Site): Promise<readonly Subject[]> {
  const midflight = { name: MIDFLIGHT, start: async () => (await startOperator(setup, cluster, setup.main)).child }
  const program = await buildPeer(setup.say)
  if (program === undefined) return [midflight]
  const account = await makeAccount(cluster, 'peer')
  const runtime = `http://${podAddress(0)}:${MANAGEMENT_PORT}`
  const command = [program, '--runtime', runtime, '--runtime-token-file', tokenFile]
  return [midflight, { name: PEER, start: async () => startInPod(setup, cluster, account, command) }]
}

type World = { readonly setup: Setup; readonly site: Site; readonly watch: AgentsWatch; readonly count: number }

async function measureRun({ setup, site, watch, count }: World, { name, start }: Subject): Promise<Run> {
  const runtime = await startRuntime(setup.processes, 0, { main: setup.main, tokenFile: site.tokenFile })
  const child = await start()
  const end = await child.whileAlive(runtime.whileAlive(watch.untilReady(count)))
  const cpuSeconds = cpuMs(child.pid) / 1000
  const peakMb = peakResidentMb(child.pid)
  await child.stop()
  await runtime.stop()
  await makeCold(site.cluster, watch, count)
  const seconds = (end - child.startedAt) / 1000
  return { subject: name, seconds, perSecond: count / seconds, cpuSeconds, peakMb }
}

async function makeCold(cluster: Cluster, watch: AgentsWatch, count: number): Promise<void> {
  await resetAgents(cluster, count)
  await watch.untilReady(0)
}

function report(runs: readonly Run[], count: number): Report {
  const names = [...new Set(runs.map(({ subject }) => subject))].sort()
  const over = (name: string, pick: (run: Run) => number): number =>
    median(runs.filter(({ subject }) => subject === name).map(pick))
  const each = (name: string): string =>
    runs
      .filter(({ subject }) => subject === name)
      .map(({ perSecond }) => Math.round(perSecond))
      .join(' ')
  return {
    targets: names.includes(PEER) ? targets(over) : [],
    tables: [
      {
        title: `${count.toLocaleString('en-US')} existing Agents, from the start of the process until all are Ready`,
        columns: ['', 'objects/s', 'seconds', 'CPU s', 'peak resident MB', 'objects/s of the runs'],
        rows: names.map((name) => [
          name,
          over(name, ({ perSecond }) => perSecond),
          over(name, ({ seconds }) => seconds),
          over(name, ({ cpuSeconds }) => cpuSeconds),
          over(name, ({ peakMb }) => peakMb),
          each(name),
        ]),
        note: 'Medians. The API server, the runtime and the watch that tells the end share the cores with the operator.',
      },
    ],
    data: runs,
  }
}

function targets(over: (name: string, pick: (run: Run) => number) => number): Target[] {
  const ratio = (pick: (run: Run) => number): number => over(MIDFLIGHT, pick) / over(PEER, pick)
  return [
    {
      what: `cold start: objects/s against the ${PEER}`,
      unit: 'x',
      value: ratio((run) => run.perSecond),
      atLeast: 0.95,
    },
    { what: `cold start: CPU against the ${PEER}`, unit: 'x', value: ratio((run) => run.cpuSeconds), atMost: 1.5 },
  ]
}

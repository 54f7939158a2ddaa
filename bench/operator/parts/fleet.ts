import { setTimeout as sleep } from 'node:timers/promises'
import { createAgents, numbers } from '../../lib/cluster/agents.ts'
import { startOperator } from '../../lib/cluster/in-pod.ts'
import { MANAGEMENT_PORT, makeRuntimePod, podAddress } from '../../lib/cluster/runtime-pod.ts'
import { watchAgents } from '../../lib/cluster/watch-agents.ts'
import { inFlight } from '../../lib/in-flight.ts'
import { peakResidentMb, residentMb } from '../../lib/machine.ts'
import type { Report } from '../../lib/report.ts'
import { openSite, type Part, type Setup } from '../part.ts'
import { type PodWork, type Simulation, startSimulation } from '../simulation/simulation.ts'

type Finding = {
  readonly agents: number
  readonly pods: number
  readonly readySeconds: number
  readonly peakMb: number
  /** After 20 s in which nothing happened. */
  readonly settledMb: number
  readonly conforms: boolean
  /** When the last Agent was Ready. */
  readonly work: readonly PodWork[]
}

/** Many Agents in many pods: what the operator holds, and what it asks of each pod. */
export const fleet: Part = {
  name: 'fleet',
  measure: async (setup) => {
    const [agents, pods, processes] = setup.quick ? [200, 20, 2] : [5_000, 200, 4]
    await using site = await openSite({ auditLog: false })
    const { cluster, tokenFile } = site
    await createAgents(cluster, agents)
    const conforms = await passesConformance(setup, tokenFile)
    const simulation = await startSimulation(setup.processes, { pods, processes, tokenFile })
    await inFlight(numbers(pods), 8, (n) => makeRuntimePod(cluster, n))
    await using watch = await watchAgents(cluster)
    const { child } = await startOperator(setup, cluster, setup.main)
    const readyAt = await child.whileAlive(watch.untilReady(agents, 900_000))
    const work = await untilComplete(simulation)
    await sleep(setup.quick ? 1_000 : 20_000)
    const finding = {
      ...{ agents, pods, conforms, work, readySeconds: (readyAt - child.startedAt) / 1000 },
      ...{ peakMb: peakResidentMb(child.pid), settledMb: residentMb(child.pid) },
    }
    await child.stop()
    await simulation.stop()
    return report(finding)
  },
}

/** Of one that is given up afterwards: the suite leaves traces. */
async function passesConformance({ processes, main }: Setup, tokenFile: string): Promise<boolean> {
  const simulation = await startSimulation(processes, { pods: 1, processes: 1, tokenFile })
  const url = `http://${podAddress(0)}:${MANAGEMENT_PORT}`
  const flags = ['--url', url, '--token-file', tokenFile]
  const child = processes.start([process.execPath, main, 'conformance', ...flags])
  const code = await child.exitCode
  await simulation.stop()
  return code === 0
}

/** A joining pod does not hold back Ready: the last ones may still be told. */
async function untilComplete(simulation: Simulation): Promise<readonly PodWork[]> {
  for (const end = performance.now() + 300_000; performance.now() < end; await sleep(500)) {
    const work = await simulation.work()
    if (work.every(({ isComplete }) => isComplete)) return work
  }
  throw new Error('not every pod was told that its sync is whole')
}

function report({ agents, pods, ...finding }: Finding): Report {
  const { readySeconds, peakMb, settledMb, conforms, work } = finding
  const most = (pick: (of: PodWork) => number): number => Math.max(...work.map(pick))
  const size = `${agents.toLocaleString('en-US')} Agents × ${pods} pods`
  // The settings are an item too.
  const unsent = Math.max(...work.map(({ itemsSent }) => agents + 1 - itemsSent))
  return {
    targets: [
      { what: `${size}: resident, peak`, unit: 'MB', value: peakMb, atMost: 400 },
      { what: `${size}: state reads of a pod until it is whole`, unit: '', value: most(firstReads), atMost: 1 },
      { what: `${size}: how often an item was sent to a pod`, unit: '', value: most((of) => of.mostOften), atMost: 1 },
      { what: `${size}: items that were not sent to a pod`, unit: '', value: unsent, atMost: 0 },
      { what: `${size}: checks of a pod that served nothing`, unit: '', value: most((of) => of.checks), atMost: 0 },
      { what: `${size}: the simulated runtime conforms`, unit: '', value: Number(conforms), atLeast: 1 },
    ],
    tables: [
      {
        title: `${size}, from a cold start`,
        columns: ['all Ready, s', 'peak resident MB', 'settled MB', 'calls per pod', 'items in the largest call'],
        rows: [[readySeconds, peakMb, settledMb, most((of) => of.activates), most((of) => of.largestChunk)]],
        note: 'The pods are registries with the real management protocol, 50 to a process, on the same cores.',
      },
    ],
    data: { agents, pods, ...finding },
  }
}

const firstReads = ({ statesBeforeComplete }: PodWork): number => statesBeforeComplete

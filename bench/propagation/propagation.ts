import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { startCluster } from '../../test/api/harness/cluster.ts'
import type { Context } from '../lib/bench.ts'
import { buildInto } from '../lib/build.ts'
import { numbers } from '../lib/cluster/agents.ts'
import { startOperator } from '../lib/cluster/in-pod.ts'
import {
  API_PORT,
  declareRuntime,
  makeRuntimePod,
  podAddress,
  startRuntime,
  writeToken,
} from '../lib/cluster/runtime-pod.ts'
import { watchAgents } from '../lib/cluster/watch-agents.ts'
import { median, spread } from '../lib/numbers.ts'
import { until } from '../lib/processes.ts'
import { between, seededRandom, shuffled } from '../lib/random.ts'
import type { Report, Target } from '../lib/report.ts'
import { temporaryFolder } from '../lib/temporary.ts'
import { ask, changeToServed } from './latency.ts'
import { createSubjects, runtimeSpec, type Subject, subjects } from './subjects.ts'

const PODS = 3
/** Changes over all rounds, at least. */
const CHANGES = 1_000
/** Milliseconds between two changes. */
const IDLE: readonly [number, number] = [20, 120]

type Latencies = {
  readonly subject: Subject
  /** By round, of each change: until the last runtime served it, in milliseconds. */
  readonly rounds: number[][]
  /** Duration of one run with no change under way: how finely the above is seen. */
  readonly runs: number[]
}

/** From a change that is committed in the API server to the answers of three runtimes that show it. */
export async function benchPropagation(context: Context): Promise<Report> {
  using home = temporaryFolder()
  const main = buildInto(home.path)
  await using cluster = await startCluster({ auditLog: false })
  await cluster.installCrds()
  const model = context.processes.start([process.execPath, join(import.meta.dirname, 'model.ts')])
  const modelUrl = await model.whileAlive(
    until('the model server is up', async () => /^(http\S+)\n/m.exec(model.output())?.[1]),
  )
  await declareRuntime(cluster, runtimeSpec(modelUrl, 'v0.'))
  await createSubjects(cluster, 'v0.')
  const tokenFile = await writeToken(cluster)
  const runtimes = await Promise.all(numbers(PODS).map((n) => startRuntime(context.processes, n, { main, tokenFile })))
  for (const n of numbers(PODS)) await makeRuntimePod(cluster, n)
  const all = subjects(modelUrl)
  await using watch = await watchAgents(cluster)
  const { child } = await startOperator(context, cluster, main)
  await child.whileAlive(watch.untilReady(all.length))

  const clients = numbers(PODS).map((n) => new Client(`http://${podAddress(n)}:${API_PORT}`))
  const found = all.map((subject): Latencies => ({ subject, rounds: [], runs: [] }))
  const random = seededRandom(1)
  const perRound = context.quick ? 3 : Math.ceil(CHANGES / context.rounds / all.length)
  let version = 0
  for (let round = 0; round < context.rounds; round++) {
    for (const { rounds } of found) rounds.push([])
    for (let n = 0; n < perRound; n++) {
      for (const { subject, rounds, runs } of shuffled(random, found)) {
        await sleep(between(random, ...IDLE))
        version += 1
        for (const client of clients) runs.push(await timed(() => ask(client, subject)))
        const served = await child.whileAlive(changeToServed(cluster, clients, subject, `v${version}.`))
        rounds.at(-1)?.push(Math.max(...served))
      }
    }
    context.say(`propagation: round ${round + 1} of ${context.rounds}`)
  }
  await Promise.all(clients.map((client) => client.close()))
  await Promise.all([child, model, ...runtimes].map((each) => each.stop()))
  return report(found)
}

async function timed(task: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await task()
  return performance.now() - start
}

function report(found: readonly Latencies[]): Report {
  const pooled = found.flatMap(({ rounds }) => rounds.flat())
  const rows = found.map(({ subject, rounds, runs }) => {
    const { count, p50, p95, p99, max } = spread(rounds.flat())
    const medians = rounds.map(median)
    const range = `${Math.min(...medians).toFixed(0)}-${Math.max(...medians).toFixed(0)}`
    return [subject.name, count, p50, p95, p99, max, range, spread(runs).p50]
  })
  const { count, p50, p95, p99, max } = spread(pooled)
  return {
    targets: [
      ...targets('any change', pooled),
      ...found.flatMap(({ subject, rounds }) => targets(subject.name, rounds.flat())),
    ],
    tables: [
      {
        title: `From the API server's answer to a PATCH to the first runs of ${PODS} runtimes that all show it, in ms`,
        columns: ['changed', 'count', 'p50', 'p95', 'p99', 'max', 'p50 of rounds', 'one run p50'],
        rows: [...rows, ['all of them', count, p50, p95, p99, max, '', '']],
      },
    ],
    data: found.map(({ subject, rounds }) => ({ changed: subject.name, rounds })),
  }
}

function targets(what: string, values: readonly number[]): Target[] {
  const { p50, p95, p99 } = spread(values)
  const bounds = [
    ['p50', p50, 50],
    ['p95', p95, 150],
    ['p99', p99, 500],
  ] as const
  return bounds.map(([name, value, atMost]) => ({
    what: `${what}: committed → served by ${PODS} runtimes, ${name}`,
    unit: 'ms',
    value,
    atMost,
  }))
}

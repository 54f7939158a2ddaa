import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { configMap, patchSpec } from '../../test/cluster/support/objects.ts'
import { identities, runtimePods } from '../../test/cluster/support/pods.ts'
import { filesOf, manyName, manySpec, openSite, type Site } from '../../test/cluster/support/site.ts'
import { ask, type Line, lineToPod } from '../../test/cluster/support/talk.ts'
import { median, spread } from '../lib/numbers.ts'
import { between, seededRandom, shuffled } from '../lib/random.ts'
import type { Report, Target } from '../lib/report.ts'
import type { Part } from './part.ts'

const PODS = 3
/** Changes of each kind over all rounds. */
const CHANGES = 300
const LIMIT_MS = 10_000
/** Pause between two looks at a pod, in milliseconds: the cores are shared with what is measured. */
const PAUSE_MS = 2
/** Milliseconds between two changes. */
const IDLE: readonly [number, number] = [20, 120]

type Subject = {
  readonly name: string
  readonly path: string
  readonly message: string
  /** Resolves when the API server has answered. */
  readonly change: (site: Site, version: string) => Promise<unknown>
}

const SUBJECTS: readonly Subject[] = [
  {
    name: "an Agent's instructions",
    path: `agents/${manyName(0)}`,
    message: 'hello',
    change: ({ node, team }, version) =>
      patchSpec(node, { kind: 'Agent', namespace: team, name: manyName(0) }, manySpec(0, version)),
  },
  {
    name: "a tool in a bundle's ConfigMap",
    path: 'agents/support',
    message: 'weather',
    change: ({ node, team }, version) => node.apply(configMap(team, 'files', filesOf(version))),
  },
]

type Pod = { readonly line: Line; readonly client: Client }

/** From the API server's answer to a change to the first answers of three pods that all show it. */
export const propagation: Part = {
  name: 'propagation',
  measure: async ({ node, rounds, quick, say }) => {
    await using site = await openSite(node, { replicas: PODS, many: 1 })
    const lines = (await runtimePods(node, site.team, 'default')).map((pod) => lineToPod(site.line, pod))
    const pods = lines.map((line): Pod => ({ line, client: new Client(line.url) }))
    const before = await identities(node, site.team, 'default')
    const random = seededRandom(1)
    const found = SUBJECTS.map((subject) => ({ subject, rounds: [] as number[][] }))
    const perRound = quick ? 5 : Math.ceil(CHANGES / rounds)
    let version = 0
    for (let round = 0; round < rounds; round++) {
      for (const each of found) each.rounds.push([])
      for (let n = 0; n < perRound; n++) {
        for (const each of shuffled(random, found)) {
          await sleep(between(random, ...IDLE))
          version += 1
          each.rounds.at(-1)?.push(await changeToServed(site, pods, each.subject, `${version}.`))
        }
      }
      say(`cluster: propagation: round ${round + 1} of ${rounds}`)
    }
    const after = await identities(node, site.team, 'default')
    await Promise.all(pods.map(({ client }) => client.close()))
    return report(found, countReplaced(before, after))
  },
}

async function changeToServed(site: Site, pods: readonly Pod[], subject: Subject, version: string): Promise<number> {
  await subject.change(site, version)
  const committed = performance.now()
  const served = async ({ line, client }: Pod) => {
    while (!(await ask(line, subject.path, subject.message, client)).endsWith(` ${version}`)) {
      if (performance.now() - committed > LIMIT_MS)
        throw new Error(`${subject.name}: ${line.url} does not serve ${version} after ${LIMIT_MS} ms`)
      await sleep(PAUSE_MS)
    }
    return performance.now() - committed
  }
  return Math.max(...(await Promise.all(pods.map(served))))
}

type Identities = Awaited<ReturnType<typeof identities>>

/** Pods that are not what they were: another uid, another process, or restarted. */
const countReplaced = (before: Identities, after: Identities): number =>
  Object.keys({ ...before, ...after }).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    .length

type Found = readonly { readonly subject: Subject; readonly rounds: readonly (readonly number[])[] }[]

function report(found: Found, replaced: number): Report {
  const what = `committed → served by ${PODS} pods`
  const rows = found.map(({ subject, rounds }) => {
    const { count, p50, p95, p99, max } = spread(rounds.flat())
    const medians = rounds.map(median)
    return [
      subject.name,
      count,
      p50,
      p95,
      p99,
      max,
      `${Math.min(...medians).toFixed(0)}-${Math.max(...medians).toFixed(0)}`,
    ]
  })
  const targets = found.flatMap(({ subject, rounds }): Target[] => {
    const { p50, p95, p99 } = spread(rounds.flat())
    return [
      { what: `node, ${subject.name}: ${what}, p50`, unit: 'ms', value: p50, atMost: 50 },
      { what: `node, ${subject.name}: ${what}, p95`, unit: 'ms', value: p95, atMost: 150 },
      { what: `node, ${subject.name}: ${what}, p99`, unit: 'ms', value: p99, atMost: 500 },
    ]
  })
  const columns = ['changed', 'count', 'p50', 'p95', 'p99', 'max', 'p50 of rounds']
  return {
    targets: [...targets, { what: 'pods replaced or restarted by the changes', unit: '', value: replaced, atMost: 0 }],
    tables: [{ title: `On a node: from the API server's answer to the answers of ${PODS} pods, in ms`, columns, rows }],
    data: found.map(({ subject, rounds }) => ({ changed: subject.name, rounds })),
  }
}

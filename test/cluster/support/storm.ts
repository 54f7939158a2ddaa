// Everything that may happen to agents while they are talked to, at once.
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../api/harness/until.ts'
import { OPERATOR } from './install.ts'
import { type LoadReport, startLoad } from './load.ts'
import { configMap, patchSpec, shows } from './objects.ts'
import { readyPods, runtimePods } from './pods.ts'
import { filesOf, manyName, manySpec, PLACE, type Site } from './site.ts'
import { openRun } from './talk.ts'

export type StormOptions = {
  readonly perSecond: number
  /** At least. */
  readonly seconds: number
  /** Agents `many-0` and on, which the site has. */
  readonly many: number
}

export type StormReport = LoadReport & {
  /** Streams that took seconds, one begun each second. */
  readonly long: { readonly runs: number; readonly broken: readonly string[] }
  /** What was done meanwhile, and how long each took, in ms. */
  readonly steps: Readonly<Record<string, number>>
}

const BROKEN = { ...filesOf('broken.'), 'weather.tool.ts': 'export default {' }
/** Milliseconds between two times at which long streams may end. */
const HELD_MS = 4000

/** Streamed runs at a steady rate while Agents change, a bundle breaks and is mended, pods roll and the operator restarts. */
export async function storm(site: Site, { perSecond, seconds, many }: StormOptions): Promise<StormReport> {
  const { line, spread } = site
  const started = performance.now()
  const load = startLoad({
    lines: [line, spread],
    runs: Array.from({ length: many }, (_, n) => [supportRun, manyRun(n)]).flat(),
    perSecond,
    newConnectionEvery: 5,
  })
  const long = startLongRuns(site)
  const steps: Record<string, number> = {}
  const step = async (name: string, what: () => Promise<unknown>) => {
    const from = performance.now()
    await what()
    steps[name] = Math.round(performance.now() - from)
    await sleep(1000)
  }
  try {
    await step(`${many} Agents changed`, () => changeAll(site, many, '1.'))
    await step('a bundle broke and was mended', () => breakAndMend(site))
    await step('the pods rolled', () => roll(site))
    await step('the operator restarted', () => restartOperator(site))
    const both = [changeAll(site, many, '2.'), roll(site), restartOperator(site)]
    await step('all of it at once', () => Promise.all(both))
    await sleep(Math.max(0, seconds * 1000 - (performance.now() - started)))
  } finally {
    await Promise.allSettled([load.stop(), long.stop()])
  }
  return { ...(await load.stop()), long: await long.stop(), steps }
}

const VERSION = String.raw`\d+\.`
const supportRun = {
  path: 'agents/support',
  message: 'weather',
  isRight: (answer: string) => new RegExp(`^a tool of version ${VERSION}$`).test(answer),
}
const manyRun = (number: number) => ({
  path: `agents/${manyName(number)}`,
  message: 'hello',
  isRight: (answer: string) => new RegExp(`^${manyName(number)} ${VERSION}$`).test(answer),
})

async function changeAll({ node, team }: Site, many: number, version: string): Promise<void> {
  const named = (number: number) => ({ kind: 'Agent', namespace: team, name: manyName(number) }) as const
  for (let number = 0; number < many; number++) await patchSpec(node, named(number), manySpec(number, version))
  for (let number = 0; number < many; number++) await shows(node, named(number))
}

async function breakAndMend({ node, team }: Site): Promise<void> {
  const support = { kind: 'Agent', namespace: team, name: 'support' } as const
  await node.apply(configMap(team, 'files', BROKEN))
  await shows(node, support, 'Ready=False/InvalidSyntax')
  await sleep(1000)
  await node.apply(configMap(team, 'files', filesOf('1.')))
  await shows(node, support)
}

/** Another annotation of the pods: all of them are replaced. */
async function roll({ node, team }: Site): Promise<void> {
  const place = { namespace: team, ...PLACE }
  const before = (await runtimePods(node, team, 'default')).filter(({ isLeaving }) => !isLeaving)
  const named = { kind: 'AgentRuntime', namespace: team, name: 'default' } as const
  await patchSpec(node, named, { pod: { annotations: { rolled: String(performance.now()) } } })
  const uids = new Set(before.map(({ uid }) => uid))
  const areNew = async () => {
    const pods = await runtimePods(node, team, 'default')
    return pods.length >= before.length && pods.every(({ uid, isLeaving }) => isLeaving || !uids.has(uid))
  }
  await until('every pod is a new one', areNew, 120_000)
  await readyPods(node, place, before.length, 120_000)
}

async function restartOperator({ node, release: { namespace } }: Site): Promise<void> {
  await node.kubectl(['rollout', 'restart', `deployment/${OPERATOR}`, '-n', namespace])
  await node.kubectl(['rollout', 'status', `deployment/${OPERATOR}`, '-n', namespace, '--timeout=120s'])
}

/** One stream more each second, on both Services in turn, each held open for up to 4 s. */
function startLongRuns({ line, spread, model }: Site) {
  const broken: string[] = []
  const underWay = new Set<Promise<void>>()
  const started = performance.now()
  let runs = 0
  const one = async (number: number) => {
    try {
      const answer = await (await openRun(number % 2 === 0 ? line : spread, 'agents/told', 'wait')).answer
      if (answer !== 'so far told (1)') throw new Error(`wrong answer "${answer}"`)
    } catch (error) {
      broken.push(`after ${Math.round(performance.now() - started)} ms: ${String(error)}`)
    }
  }
  const beginning = setInterval(() => {
    const task = one(runs++)
    underWay.add(task)
    void task.finally(() => underWay.delete(task))
  }, 1000)
  const ending = setInterval(() => model.letGo(), HELD_MS)
  const end = async () => {
    clearInterval(beginning)
    await Promise.all(underWay)
    clearInterval(ending)
    return { runs, broken }
  }
  let report: ReturnType<typeof end> | undefined
  return {
    stop: () => {
      report ??= end()
      return report
    },
  }
}

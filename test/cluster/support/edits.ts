// Edits of agents, and how long it takes until pods serve them.
import { until } from '../../api/harness/until.ts'
import { patchSpec } from './objects.ts'
import { type RuntimePod, runtimePods } from './pods.ts'
import { manyName, manySpec, type Site } from './site.ts'
import { lineToPod, tryAsk } from './talk.ts'

/** Where pods of an AgentRuntime are asked. */
export type Asked = Pick<Site, 'node' | 'team' | 'line'>

/** What each pod of AgentRuntime `default` answers, by pod; leaving ones and those without an address are left out. */
export async function answersByPod(
  { node, team, line }: Asked,
  path: string,
  message?: string,
): Promise<Readonly<Record<string, string>>> {
  const pods = (await runtimePods(node, team, 'default')).filter(({ ip, isLeaving }) => ip !== '' && !isLeaving)
  const ask = async (pod: RuntimePod) => [pod.name, await tryAsk(lineToPod(line, pod), path, message)] as const
  return Object.fromEntries(await Promise.all(pods.map(ask)))
}

export type Expected = {
  readonly path: string
  readonly message?: string | undefined
  readonly text: string
  readonly pods: number
}

/** Waits until so many pods are there and each answers that. @throws Error with what they answer instead */
export async function allAnswer(asked: Asked, { path, message, text, pods }: Expected, ms = 60_000): Promise<void> {
  let last: Readonly<Record<string, string>> = {}
  const isSo = async () => {
    last = await answersByPod(asked, path, message)
    const answers = Object.values(last)
    return answers.length === pods && answers.every((answer) => answer === text)
  }
  await until(`${pods} pods answer ${path}: ${text}`, isSo, ms).catch((error: unknown) => {
    throw new Error(`${String(error)}; they answer ${JSON.stringify(last)}`)
  })
}

/** Waits until so many pods answer with the tool of that version of the site's files. @throws Error with what they answer instead */
export const toolAnswers = (asked: Asked, version: string, pods: number, ms?: number): Promise<void> =>
  allAnswer(asked, { path: 'agents/support', message: 'weather', text: `a tool of version ${version}`, pods }, ms)

let edits = 0

/** Edits agent `many-N` until the API server takes it. @returns the ms from the first try until every pod serves it */
export async function edit(site: Asked, pods: number, number = 0, ms?: number): Promise<number> {
  const version = `edit ${++edits}`
  const agent = { kind: 'Agent', namespace: site.team, name: manyName(number) } as const
  const from = performance.now()
  const isTaken = () =>
    patchSpec(site.node, agent, manySpec(number, version)).then(
      () => true,
      () => false,
    )
  await until(`an edit of ${agent.name} is taken`, isTaken, 60_000)
  await allAnswer(site, { path: `agents/${agent.name}`, text: manySpec(number, version).instructions, pods }, ms)
  return performance.now() - from
}

export type Edits = {
  readonly count: number
  /** The longest that one of them took until it was served: what was begun just before the fault. */
  readonly longestMs: number
}

/** One edit after another while something is done, and one more after it. */
export async function editsDuring(site: Asked, pods: number, what: () => Promise<unknown>): Promise<Edits> {
  const took: number[] = []
  const done = { is: false }
  const task = what().finally(() => {
    done.is = true
  })
  while (!done.is) took.push(await edit(site, pods))
  await task
  took.push(await edit(site, pods))
  return { count: took.length, longestMs: Math.round(Math.max(...took)) }
}

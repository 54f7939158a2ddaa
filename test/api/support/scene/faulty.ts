import type { PodStatus } from '../../../../src/api/index.ts'
import { type Cluster, until } from '../../harness/index.ts'
import { read, resource, told } from '../resource.ts'
import { type FaultyRuntime, startFaultyRuntimes } from '../runtimes/faulty.ts'
import { ask, type PodRuntime, type PodRuntimesOptions } from '../runtimes/in-process.ts'
import { adopt } from './adopt.ts'

export type FaultySceneOptions = Omit<PodRuntimesOptions, 'front'> & {
  readonly namespace: string
  /** Of the AgentRuntime, besides what adopts the pods. */
  readonly spec?: object
}

/** A namespace with an AgentRuntime `default`, its pods, and Agents that answer the first line they are given. */
export type FaultyScene = AsyncDisposable & {
  readonly namespace: string
  readonly runtimes: readonly FaultyRuntime[]
  /** One of them. */
  at(index: number): FaultyRuntime
  /** Declares what an Agent answers. */
  declare(instructions: string, agent?: string): Promise<void>
  /** What each pod answers; empty where none does. */
  answers(agent?: string): Promise<string[]>
  /** What one pod answers; empty when it does not. */
  answer(index: number, agent?: string): Promise<string>
  /** The condition Ready of an Agent: `Ready=True/Served`. */
  ready(agent?: string): Promise<string>
  /** Why it is what it is. */
  readyMessage(agent?: string): Promise<string>
  /** What the AgentRuntime says of its pods, the worst first. */
  podRows(): Promise<readonly PodStatus[]>
}

/** Sets a scene whose Agent `support` is served by all pods as `one`. An operator must be at work. */
export async function stage(cluster: Cluster, options: FaultySceneOptions): Promise<FaultyScene> {
  const scene = await stageEmpty(cluster, options)
  await scene.declare('one')
  await until('the scene is set', async () => (await scene.ready()) === 'Ready=True/Served')
  await until('all pods are', async () => (await scene.answers()).every((answer) => answer === 'one'))
  return scene
}

/** Sets a scene without any Agent, and waits for nothing. */
export async function stageEmpty(cluster: Cluster, options: FaultySceneOptions): Promise<FaultyScene> {
  const { namespace, spec = {}, ...rest } = options
  const runtimes = await startFaultyRuntimes(rest)
  const pods = runtimes.map(({ pod }) => pod)
  await adopt(cluster, namespace, pods, { spec })
  const at = (index: number): FaultyRuntime => {
    const found = runtimes[index]
    if (found === undefined) throw new Error(`there are ${runtimes.length} runtimes, not ${index + 1}`)
    return found
  }
  return {
    namespace,
    runtimes,
    at,
    declare: async (instructions, agent = 'support') => {
      await cluster.apply(resource('Agent', namespace, agent, { instructions }))
    },
    answers: (agent = 'support') => Promise.all(pods.map((pod) => askIfThere(pod, agent))),
    answer: (index, agent = 'support') => askIfThere(at(index).pod, agent),
    ready: async (agent = 'support') => told(await read(cluster, 'agents', namespace, agent)),
    readyMessage: async (agent = 'support') => {
      const { status } = await read(cluster, 'agents', namespace, agent)
      return status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? ''
    },
    podRows: async () => {
      const { status } = await read(cluster, 'agentruntimes', namespace, 'default')
      return (status?.pods ?? []) as readonly PodStatus[]
    },
    [Symbol.asyncDispose]: async () => {
      // Pods that are gone would be called in vain for the rest of the suite.
      for (const index of runtimes.keys()) await cluster.deletePod(namespace, `runtime-${index}`)
      await Promise.all(pods.map((pod) => pod.stop()))
    },
  }
}

/** Between two processes nobody listens. */
const askIfThere = ({ url }: PodRuntime, agent: string): Promise<string> => ask(url, `agents/${agent}`).catch(() => '')

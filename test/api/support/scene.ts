import type { PodStatus } from '../../../src/api/index.ts'
import { type Cluster, until } from '../harness/index.ts'
import { type FaultyRuntime, startFaultyRuntimes } from './faulty-runtime.ts'
import { adopt, read, resource, told } from './operator.ts'
import { ask, type PodRuntimesOptions } from './runtimes.ts'

export type SceneOptions = Omit<PodRuntimesOptions, 'front'> & {
  readonly namespace: string
  /** What of the AgentRuntime differs from a plain one. */
  readonly spec?: object
}

/** A namespace with an AgentRuntime `default`, its pods, and an Agent `support` that answers the first line it is given. */
export type Scene = AsyncDisposable & {
  readonly namespace: string
  readonly runtimes: readonly FaultyRuntime[]
  /** From 0 on. */
  at(index: number): FaultyRuntime
  /** Applies an Agent, `support`. */
  declare(instructions: string, agent?: string): Promise<void>
  /** What each pod answers. */
  answers(agent?: string): Promise<string[]>
  /** What one pod answers. */
  answer(index: number, agent?: string): Promise<string>
  /** `Ready=True/Served`, of the generation that the Agent has. */
  ready(agent?: string): Promise<string>
  /** What Ready says of it. */
  readyMessage(agent?: string): Promise<string>
  /** What the status of the AgentRuntime says of its pods. */
  podRows(): Promise<readonly PodStatus[]>
}

/** Sets a scene whose Agent `support` is served by all pods as `one`, unless its runtimes are `unsettled`. */
export async function stage(cluster: Cluster, options: SceneOptions): Promise<Scene> {
  const scene = await stageUnsettled(cluster, options)
  await scene.declare('one')
  await until('the scene is set', async () => (await scene.ready()) === 'Ready=True/Served')
  return scene
}

/** Sets a scene without any Agent, and waits for nothing. */
export async function stageUnsettled(cluster: Cluster, options: SceneOptions): Promise<Scene> {
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
    answers: (agent = 'support') => Promise.all(pods.map(({ url }) => ask(url, `agents/${agent}`))),
    answer: (index, agent = 'support') => ask(at(index).pod.url, `agents/${agent}`),
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
      // What it leaves behind would be called in vain for the rest of the suite.
      const gone = ['agentruntime', 'default', '-n', namespace, '--wait=false']
      await cluster.kubectl(['delete', ...gone])
      await Promise.all(pods.map((pod) => pod.stop()))
    },
  }
}

/** Runs something until it is aborted or fails; resolves with how often it ran. */
export async function meanwhile(signal: AbortSignal, work: (round: number) => Promise<void>): Promise<number> {
  let round = 0
  while (!signal.aborted) {
    await work(round)
    round += 1
  }
  return round
}

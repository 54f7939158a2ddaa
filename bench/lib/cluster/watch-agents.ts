import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Agent as Dispatcher, request } from 'undici'
import type { Cluster } from '../../../test/api/harness/cluster.ts'

type WatchEvent = { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'ERROR'; readonly object: AgentObject }

type AgentObject = {
  readonly metadata: { readonly name: string; readonly generation: number }
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly observedGeneration?: number
    }[]
  }
}

/** What somebody outside of the operator sees of the Agents, by a watch of their own. */
export interface AgentsWatch extends AsyncDisposable {
  /** How often an Agent that was Ready has ceased to be. */
  readonly flips: number
  readonly ready: number
  /**
   * When the number of Agents that are Ready, in their present generation, was first `count`: a time of
   * `performance.now()`.
   * @throws Error after `limitMs`, or when the watch ends
   */
  untilReady(count: number, limitMs?: number): Promise<number>
}

/** Resolves when the server has answered; the Agents that are there come first. */
export async function watchAgents(cluster: Cluster): Promise<AgentsWatch> {
  const dispatcher = new Dispatcher({ connect: { ca: await readFile(cluster.caFile) }, bodyTimeout: 0 })
  const stop = new AbortController()
  const { statusCode, body } = await request(`${cluster.url}/apis/midflight.dev/v1alpha1/agents?watch=1`, {
    dispatcher,
    signal: stop.signal,
    headers: { authorization: `Bearer ${cluster.token}` },
  })
  if (statusCode !== 200) throw new Error(`the watch was answered ${statusCode}: ${await body.text()}`)
  const readiness = new Map<string, boolean>()
  let [flips, ready] = [0, 0]
  let waiter: { readonly count: number; readonly resolve: (at: number) => void } | undefined

  const take = ({ type, object }: WatchEvent): void => {
    if (type === 'ERROR') throw new Error('the watch was ended by the server')
    const { name } = object.metadata
    const [was, is] = [readiness.get(name) === true, type !== 'DELETED' && isReady(object)]
    if (was && !is) flips += 1
    ready += Number(is) - Number(was)
    if (type === 'DELETED') readiness.delete(name)
    else readiness.set(name, is)
    if (waiter?.count === ready) waiter.resolve(performance.now())
  }
  const ended = (async () => {
    for await (const line of createInterface({ input: body })) take(JSON.parse(line))
    throw new Error('the watch has ended')
  })()
  ended.catch(() => undefined)
  return {
    get flips() {
      return flips
    },
    get ready() {
      return ready
    },
    untilReady: (count, limitMs = 300_000) => {
      if (ready === count) return Promise.resolve(performance.now())
      const { promise, resolve, reject } = Promise.withResolvers<number>()
      waiter = { count, resolve }
      const late = () => reject(new Error(`${ready} of ${count} Agents were Ready after ${limitMs} ms`))
      const timer = setTimeout(late, limitMs)
      return Promise.race([promise, ended]).finally(() => clearTimeout(timer))
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await dispatcher.destroy()
    },
  }
}

function isReady({ metadata, status }: AgentObject): boolean {
  const condition = status?.conditions?.find(({ type }) => type === 'Ready')
  return condition?.status === 'True' && condition.observedGeneration === metadata.generation
}

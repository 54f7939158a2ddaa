import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Agent as Dispatcher, request } from 'undici'
import type { Cluster } from '../../../test/api/harness/cluster.ts'

const PATH = '/apis/midflight.dev/v1alpha1/agents'

type WatchEvent = { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'ERROR'; readonly object: AgentObject }

type AgentObject = {
  readonly metadata: { readonly name: string; readonly generation: number; readonly resourceVersion: string }
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
  /** How often an Agent that was Ready has ceased to be, a change of its spec included. */
  readonly flips: number
  /**
   * When the number of Agents that are Ready, in their present generation, was first `count`: a time of
   * `performance.now()`.
   * @throws Error after `limitMs`, or when the server refuses to go on with the watch
   */
  untilReady(count: number, limitMs?: number): Promise<number>
}

/** Counts the Agents that are Ready, as a watch tells of them. */
class Tally {
  flips = 0
  ready = 0
  readonly #readiness = new Map<string, boolean>()
  #waiter: { readonly count: number; readonly resolve: (at: number) => void } | undefined

  take({ type, object }: WatchEvent): void {
    const { name } = object.metadata
    const [was, is] = [this.#readiness.get(name) === true, type !== 'DELETED' && isReady(object)]
    if (was && !is) this.flips += 1
    this.ready += Number(is) - Number(was)
    this.#readiness.set(name, is)
    if (this.#waiter?.count === this.ready) this.#waiter.resolve(performance.now())
  }

  reaches(count: number): Promise<number> {
    if (this.ready === count) return Promise.resolve(performance.now())
    const { promise, resolve } = Promise.withResolvers<number>()
    this.#waiter = { count, resolve }
    return promise
  }
}

/** Resolves when the server has answered; the Agents that are there come first. */
export async function watchAgents(cluster: Cluster): Promise<AgentsWatch> {
  const dispatcher = new Dispatcher({ connect: { ca: await readFile(cluster.caFile) }, bodyTimeout: 0 })
  const stop = new AbortController()
  const open = async (query: string) => {
    const { statusCode, body } = await request(`${cluster.url}${PATH}?watch=1${query}`, {
      dispatcher,
      signal: stop.signal,
      headers: { authorization: `Bearer ${cluster.token}` },
    })
    if (statusCode !== 200) throw new Error(`the watch was answered ${statusCode}: ${await body.text()}`)
    return body
  }
  const tally = new Tally()
  const first = await open('')
  const failed = (async (): Promise<never> => {
    let resourceVersion = ''
    // The server ends a watch as it likes, as it does a while after a CustomResourceDefinition was made.
    for (let body = first; ; body = await open(`&resourceVersion=${resourceVersion}`)) {
      for await (const line of createInterface({ input: body })) {
        // What a Kubernetes API server sends on a watch.
        const event = JSON.parse(line) as WatchEvent
        if (event.type === 'ERROR') throw new Error(`the watch was ended by the server: ${line}`)
        resourceVersion = event.object.metadata.resourceVersion
        tally.take(event)
      }
    }
  })()
  failed.catch(() => undefined)
  return {
    get flips() {
      return tally.flips
    },
    untilReady: (count, limitMs = 300_000) => {
      const { promise: late, reject } = Promise.withResolvers<never>()
      const error = () => new Error(`${tally.ready} of ${count} Agents were Ready after ${limitMs} ms`)
      const timer = setTimeout(() => reject(error()), limitMs)
      return Promise.race([tally.reaches(count), failed, late]).finally(() => clearTimeout(timer))
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

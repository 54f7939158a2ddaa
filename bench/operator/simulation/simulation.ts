import { join } from 'node:path'
import { request } from 'undici'
import { MANAGEMENT_PORT } from '../../lib/cluster/runtime-pod.ts'
import { type Child, freePort, type Processes, until } from '../../lib/processes.ts'

const SIMULATOR = join(import.meta.dirname, 'simulator.ts')

/** What was asked of one simulated runtime since the last reset. */
export type PodWork = {
  readonly pod: number
  readonly isComplete: boolean
  readonly states: number
  readonly statesBeforeComplete: number
  readonly checks: number
  readonly activates: number
  /** Of the activates, those with nothing to do but the fence. */
  readonly emptyActivates: number
  /** Items of the largest call. */
  readonly largestChunk: number
  /** Different items that were sent. */
  readonly itemsSent: number
  /** How often the item was sent that was sent most often. */
  readonly mostOften: number
}

/** Runtimes without agents that run: real registries and the real protocol, each at the address of a pod. */
export interface Simulation {
  readonly children: readonly Child[]
  /** By pod. */
  work(): Promise<readonly PodWork[]>
  /** Counts from zero from now on. */
  reset(): Promise<void>
  stop(): Promise<void>
}

export type SimulationOptions = { readonly pods: number; readonly processes: number; readonly tokenFile: string }

/** Pods 0 and on, spread over processes. */
export async function startSimulation(processes: Processes, options: SimulationOptions): Promise<Simulation> {
  const each = Math.ceil(options.pods / options.processes)
  const parts = await Promise.all(
    Array.from({ length: options.processes }, async (_, n) => {
      const [first, count] = [n * each, Math.min(each, options.pods - n * each)]
      const control = await freePort()
      const numbers = [first, count, MANAGEMENT_PORT].map(String)
      const child = processes.start([process.execPath, SIMULATOR, ...numbers, options.tokenFile, String(control)])
      await child.whileAlive(until('a simulator is ready', async () => child.output().includes('ready\n') || undefined))
      return { child, url: `http://127.0.0.1:${control}` }
    }),
  )
  const ask = async (method: 'GET' | 'POST'): Promise<readonly PodWork[]> => {
    const answers = await Promise.all(parts.map(async ({ url }) => (await request(url, { method })).body.json()))
    // The simulator is this bench's own.
    return answers.flat() as PodWork[]
  }
  return {
    children: parts.map(({ child }) => child),
    work: () => ask('GET'),
    reset: async () => void (await ask('POST')),
    stop: async () => void (await Promise.all(parts.map(({ child }) => child.stop()))),
  }
}

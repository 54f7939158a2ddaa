import { cpuMs, residentMb } from '../lib/machine.ts'
import type { Contender } from './contender.ts'
import { serial, type Throughput, throughput } from './load.ts'

export type Sizes = {
  /** Runs one after the other, per contender and round. */
  readonly serial: number
  readonly warmUp: number
  /** How long the runs in parallel go on. */
  readonly loadMs: number
  readonly inFlight: number
}

/** One contender in one round. */
export type Finding = {
  readonly name: string
  /** Durations of runs one after the other, in milliseconds. */
  readonly serialMs: readonly number[]
  /** The same for the model's two turns alone, measured right before. */
  readonly modelMs: readonly number[]
  readonly load: Throughput
  /** CPU time of the contender's process for one run under load. */
  readonly cpuMsPerRun: number
  /** Share of its core that the client's side, model included, was busy under load: near 1, it was the limit. */
  readonly clientShare: number
  readonly residentMb: number
}

export async function measureRound(
  contenders: readonly Contender[],
  alone: Contender,
  sizes: Sizes,
): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const contender of contenders) findings.push(await measure(contender, alone, sizes))
  return findings
}

async function measure({ name, url, child, task }: Contender, alone: Contender, sizes: Sizes): Promise<Finding> {
  const modelMs = await serial(alone.url, alone.task, sizes.serial)
  const serialMs = await serial(url, task, sizes.serial)
  const clientMs = (): number => cpuMs(process.pid) + cpuMs(alone.child.pid)
  const before = { server: cpuMs(child.pid), client: clientMs() }
  const load = await throughput(url, task, sizes.inFlight, sizes.loadMs)
  return {
    name,
    serialMs,
    modelMs,
    load,
    cpuMsPerRun: (cpuMs(child.pid) - before.server) / load.runs,
    clientShare: (clientMs() - before.client) / 1000 / load.seconds,
    residentMb: residentMb(child.pid),
  }
}

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Midflight, metricsOf, startMidflight } from '../../../bench/lib/midflight.ts'
import { type Spread, slope, spread } from '../../../bench/lib/numbers.ts'
import { Processes, until } from '../../../bench/lib/processes.ts'
import { seededRandom } from '../../../bench/lib/random.ts'
import { temporaryFolder } from '../../../bench/lib/temporary.ts'
import { createAtomicWriter } from '../../../src/runtime/files/atomic-writer.fixture.ts'
import type { Isolation } from '../../../src/runtime/tools/index.ts'
import { type Footprint, footprintAtRest } from '../footprint.ts'
import { COLLECTS, liveHeapOf } from '../live-heap.ts'
import { DEFINITIONS, sourcesOf } from '../versions.ts'
import { Swaps, type SwapsOptions } from './swaps.ts'
import { type Faults, Traffic } from './traffic.ts'

export type ServingOptions = {
  readonly isolation: Isolation
  /** Calls while files are swapped; a fifth of them are sent without swaps, in between. */
  readonly requests: number
  readonly swaps: number
  /** One in so many swaps is bad; those of a round are a multiple of it. */
  readonly oneInBad: number
  readonly rounds: number
  readonly seed: number
  readonly say: (line: string) => void
}

/** A look at the runtime at rest, after so many swaps. */
export type Look = Footprint & { readonly swaps: number; readonly heapBytes: number }

export type ServingFigures = {
  readonly isolation: Isolation
  readonly seed: number
  readonly swaps: number
  readonly badSwaps: number
  /** Calls during the swaps. */
  readonly requests: number
  readonly faults: Faults
  /** The first few faults, in words. */
  readonly examples: readonly string[]
  /** Rounds whose last version, which is good, did not serve in time. */
  readonly missed: number
  /** From the end of each round's traffic until its last version served, in milliseconds. */
  readonly lastServedMs: readonly number[]
  /** Versions that came to serve; others were overtaken by the next one. */
  readonly activated: number
  /** Versions that were refused, by reason. */
  readonly refused: Readonly<Record<string, number>>
  /** Processes of tool code that died while they served. */
  readonly hostRestarts: number
  /** Of calls that take no time of their own, by round, in milliseconds. */
  readonly latency: readonly { readonly baseline: Spread; readonly swapping: Spread }[]
  readonly looks: readonly Look[]
  /** Growth of the live heap over all looks but the first. */
  readonly heapBytesPerSwap: number
}

const CONNECTIONS = 64
const WARM_UP_SHARE = 0.02
const BASELINE_SHARE = 0.2
const LAST_SERVED_LIMIT_MS = 10_000

/**
 * A `midflight runtime` that calls and runs never leave alone while the files of its bundle are swapped, some of them
 * bad. Every round begins with the same calls and no swaps.
 */
export async function soakServing(options: ServingOptions): Promise<ServingFigures> {
  const { rounds, seed, oneInBad, say } = options
  using home = temporaryFolder()
  await using processes = new Processes()
  const directory = join(home.path, 'mount')
  const midflight = await startOn(directory, options.isolation, processes)
  await using traffic = new Traffic({ url: midflight.url, connections: CONNECTIONS })
  const random = seededRandom(seed)
  const swaps = new Swaps({ directory, oneInBad, random, traffic, whenRefused: refusals(midflight) })
  await traffic.send(callsMore(traffic, options.requests * WARM_UP_SHARE))
  const found: Round[] = []
  for (let round = 1; round <= rounds; round += 1) {
    const now = await midflight.child.whileAlive(soakRound(midflight, { options, traffic, swaps }))
    found.push(now)
    const { baseline, swapping } = now.latency
    say(
      `round ${round} of ${rounds}: ${traffic.sent} calls, ${swaps.count} swaps, ` +
        `p99 ${swapping.p99.toFixed(1)} ms, without swaps ${baseline.p99.toFixed(1)} ms`,
    )
  }
  const metrics = await metricsOf(midflight)
  await midflight.child.stop()
  return { ...options, ...figuresOf(found, metrics), ...countsOf(traffic, swaps) }
}

/** Starts a runtime on a mount with a first version. */
async function startOn(directory: string, isolation: Isolation, processes: Processes): Promise<Midflight> {
  const definitions = `${directory}.yaml`
  await createAtomicWriter(directory).write(sourcesOf({ number: 0 }))
  await writeFile(definitions, DEFINITIONS)
  const files = ['--bundle', `say=${directory}`, '--definitions', definitions]
  const args = ['runtime', ...files, '--isolation', isolation, '--reload-log', 'false']
  return startMidflight(processes, args, { nodeArgs: COLLECTS })
}

const callsMore = (traffic: Traffic, calls: number): (() => boolean) => {
  const end = traffic.sent + calls
  return () => traffic.sent >= end
}

/** What one round found. */
type Round = {
  readonly requests: number
  readonly latency: { readonly baseline: Spread; readonly swapping: Spread }
  readonly lastServedMs: number | undefined
  readonly look: Look
}
type Parts = { readonly options: ServingOptions; readonly traffic: Traffic; readonly swaps: Swaps }

async function soakRound(midflight: Midflight, { options, traffic, swaps }: Parts): Promise<Round> {
  const [calls, count] = [options.requests / options.rounds, options.swaps / options.rounds]
  const baseline = await traffic.send(callsMore(traffic, calls * BASELINE_SHARE))
  const [first, enough] = [traffic.sent, callsMore(traffic, calls)]
  let isSwapping = true
  const swapped = swaps.run(count, calls / count).finally(() => {
    isSwapping = false
  })
  const swapping = await traffic.send(() => enough() && !isSwapping)
  await swapped
  const requests = traffic.sent - first
  const lastServedMs = await traffic.untilServed(swaps.count, LAST_SERVED_LIMIT_MS)
  const footprint = await footprintAtRest(midflight.child.pid)
  const look = { ...footprint, swaps: swaps.count, heapBytes: await liveHeapOf(midflight) }
  return { requests, latency: { baseline: spread(baseline), swapping: spread(swapping) }, lastServedMs, look }
}

/** Waits for the runtime to refuse a version, by its counter of failures. */
const refusals =
  (midflight: Midflight): SwapsOptions['whenRefused'] =>
  async (reason, write) => {
    const refused = async (): Promise<number> => failuresIn(await metricsOf(midflight))[reason] ?? 0
    const before = await refused()
    await write()
    await until(`a version is refused for ${reason}`, async () => (await refused()) > before || undefined)
  }

const failuresIn = (metrics: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries(
    [...metrics].flatMap(([name, count]) => {
      const [, reason] = /^midflight_reload_failures_total\{reason="(\w+)"\}$/.exec(name) ?? []
      return reason === undefined || count === 0 ? [] : [[reason, count] as const]
    }),
  )

function figuresOf(rounds: readonly Round[], metrics: ReadonlyMap<string, number>) {
  const looks = rounds.map(({ look }) => look)
  const total = (pattern: RegExp): number =>
    [...metrics].reduce((sum, [name, count]) => sum + (pattern.test(name) ? count : 0), 0)
  return {
    requests: rounds.reduce((sum, round) => sum + round.requests, 0),
    missed: rounds.filter(({ lastServedMs }) => lastServedMs === undefined).length,
    lastServedMs: rounds.flatMap(({ lastServedMs }) => lastServedMs ?? []),
    activated: total(/^midflight_reloads_total\{.*kind="bundles".*result="activated"/),
    refused: failuresIn(metrics),
    hostRestarts: total(/^midflight_tool_host_restarts_total/),
    latency: rounds.map(({ latency }) => latency),
    looks,
    heapBytesPerSwap: slope(looks.slice(1).map(({ swaps, heapBytes }) => ({ x: swaps, y: heapBytes }))),
  }
}

const countsOf = (traffic: Traffic, swaps: Swaps) => ({
  swaps: swaps.count,
  badSwaps: swaps.bad,
  faults: traffic.faults,
  examples: traffic.examples,
})

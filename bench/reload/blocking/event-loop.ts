import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { childrenAtRest, childrenOf } from '../../lib/at-rest.ts'
import { type Midflight, metricsOf } from '../../lib/midflight.ts'
import { MountedDirectory } from '../../lib/mounted-directory.ts'
import { median, type Spread, spread } from '../../lib/numbers.ts'
import type { Report, Table, Target } from '../../lib/report.ts'
import { type Isolation, startRuntime } from '../mount/runtime.ts'
import type { Part, Setup } from '../part.ts'
import { fourFiles } from './four-files.ts'
import type { Lap, Usage } from './probe.ts'
import { connectProbe, type Probe } from './probe-client.ts'

const PROBE = join(import.meta.dirname, 'probe.ts')
/** Milliseconds from swap to swap, at least: all that a reload causes ends before the next one. */
const PACE_MS = 25
/** Of the runtime between reloads: the process with the tool, and the one that is kept warm for the next. */
const CHILDREN: Readonly<Record<Isolation, number>> = { none: 0, process: 2 }
/** Reloads of which each turn is watched, over all rounds; for the CPU time there are half as many more. */
const RELOADS: Readonly<Record<Isolation, number>> = { none: 1_000, process: 500 }
/** Reloads before anything counts: the compilers of the runtime have seen the code. */
const WARM_UP = 100

/** A runtime on a directory, and what was found of it. */
type Site = {
  readonly isolation: Isolation
  readonly midflight: Midflight
  readonly probe: Probe
  readonly directory: MountedDirectory
  version: number
  /** Swaps that came with the next one: the runtime had not been given the CPU in between. */
  merged: number
  readonly laps: Lap[]
  /** Milliseconds for one reload, a value for each round. */
  readonly usage: Usage[]
}

/** For how long a reload keeps the event loop of the runtime from everything else, and its CPU time there. */
export const eventLoop: Part = {
  name: 'event loop',
  measure: async (setup) => {
    const sites = await Promise.all((['none', 'process'] as const).map((isolation) => openSite(setup, isolation)))
    for (const site of sites) await reloads(site, setup.quick ? 30 : WARM_UP)
    for (let round = 0; round < setup.rounds; round++) {
      for (const site of sites) {
        const count = setup.quick ? 20 : Math.ceil(RELOADS[site.isolation] / setup.rounds)
        await measureUsage(site, Math.ceil(count / 2))
        await measureTurns(site, count)
      }
      setup.say(`reload: event loop, round ${round + 1} of ${setup.rounds}`)
    }
    for (const { probe, midflight } of sites) {
      probe.close()
      await midflight.child.stop()
    }
    return report(sites)
  },
}

async function openSite(setup: Setup, isolation: Isolation): Promise<Site> {
  const socket = join(setup.home, `${isolation}.sock`)
  const directory = new MountedDirectory(join(setup.home, isolation), fourFiles(0))
  const midflight = await startRuntime(setup, {
    name: isolation,
    directory: directory.path,
    isolation,
    nodeArgs: ['--import', PROBE],
    env: { MIDFLIGHT_BENCH_PROBE: socket },
  })
  const probe = await connectProbe(socket)
  return { isolation, midflight, directory, probe, version: 0, merged: 0, laps: [], usage: [] }
}

/** Totals over many reloads: of a single one the clock of the CPU is too coarse. */
async function measureUsage(site: Site, count: number): Promise<void> {
  const { usage } = site.probe
  const looks: Usage[] = []
  const done = await reloads(site, count, async (swapAll) => {
    looks.push(await usage())
    await swapAll()
    looks.push(await usage())
  })
  const [before, after] = looks
  const each = (kind: keyof Usage): number => ((after?.[kind] ?? Number.NaN) - (before?.[kind] ?? 0)) / done
  site.usage.push({ cpu: each('cpu'), thread: each('thread'), loop: each('loop') })
}

async function measureTurns(site: Site, count: number): Promise<void> {
  const { turns } = site.probe
  const laps: Lap[] = []
  const done = await reloads(site, count, async (swapAll) => {
    await turns('watch')
    await sleep(20)
    await turns('lap')
    await swapAll(async () => void laps.push(await turns('lap')))
    await turns('rest')
  })
  // In the lap of a swap that came with the next one there was no reload.
  site.laps.push(...laps.sort((a, b) => b.longest - a.longest).slice(0, done))
}

type SwapAll = (after?: () => Promise<void>) => Promise<void>

/**
 * Swaps one after the other, with no calls.
 * @param measure does what is to be done around them and nothing else: what is asked of the runtime comes before and after
 * @returns how many reloads that made
 * @throws Error when the last one does not serve, or most of them were no reloads of their own
 */
async function reloads(
  site: Site,
  count: number,
  measure: (swapAll: SwapAll) => Promise<void> = (swapAll) => swapAll(),
): Promise<number> {
  const before = await activations(site)
  await measure(async (after) => {
    for (let n = 0; n < count; n++) {
      await swapAndRest(site)
      await after?.()
    }
  })
  await mustServe(site)
  const done = (await activations(site)) - before
  if (done < count / 2) throw new Error(`${site.isolation}: ${done} of ${count} swaps were taken one by one`)
  site.merged += count - done
  return done
}

async function swapAndRest(site: Site): Promise<void> {
  const { pid } = site.midflight.child
  const children = childrenOf(pid)
  site.version += 1
  site.directory.swap(fourFiles(site.version))
  await sleep(PACE_MS)
  await childrenAtRest(pid, CHILDREN[site.isolation], children)
}

async function activations({ midflight }: Site): Promise<number> {
  const metrics = await metricsOf(midflight)
  return [...metrics]
    .filter(([name]) => name.startsWith('midflight_reloads_total') && name.includes('result="activated"'))
    .reduce((sum, [, value]) => sum + value, 0)
}

async function mustServe({ midflight, version }: Site): Promise<void> {
  const { body } = await request(`${midflight.url}/tools/sum/call`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"arguments":{"add":0}}',
  })
  const text = await body.text()
  if (!text.includes(`${version}`)) throw new Error(`version ${version} is not served: ${text}`)
}

const NAMES: Readonly<Record<Isolation, string>> = { none: 'in-thread', process: 'process isolation' }

function report(sites: readonly Site[]): Report {
  const figures = sites.map(({ isolation, laps, usage, merged }) => ({
    name: NAMES[isolation],
    longest: spread(laps.map((lap) => lap.longest)),
    cpu: median(usage.map((each) => each.cpu)),
    thread: median(usage.map((each) => each.thread)),
    loop: median(usage.map((each) => each.loop)),
    merged,
  }))
  return {
    targets: figures.flatMap(({ name, longest, cpu }): Target[] => [
      { what: `reload of a 4-file tool, ${name}: event loop blocked, p95`, unit: 'ms', value: longest.p95, atMost: 1 },
      { what: `reload of a 4-file tool, ${name}: event loop blocked, p99`, unit: 'ms', value: longest.p99, atMost: 6 },
      { what: `reload of a 4-file tool, ${name}: CPU of the main process`, unit: 'ms', value: cpu, atMost: 1 },
    ]),
    tables: [turnsTable(figures), usageTable(figures)],
    data: { figures, rounds: sites.map(({ usage, laps }) => ({ usage, laps })) },
  }
}

type Figures = {
  readonly name: string
  readonly longest: Spread
  readonly cpu: number
  readonly thread: number
  readonly loop: number
  readonly merged: number
}

const turnsTable = (figures: readonly Figures[]): Table => ({
  title: 'The longest turn of the event loop in a reload of a tool of four files, in ms',
  columns: ['isolation', 'reloads', 'p50', 'p95', 'p99', 'max'],
  rows: figures.map(({ name, longest }) => [
    name,
    String(longest.count),
    ...[longest.p50, longest.p95, longest.p99, longest.max],
  ]),
})

const usageTable = (figures: readonly Figures[]): Table => ({
  title: 'What such a reload takes of the main process, in ms',
  columns: ['isolation', 'CPU', 'of it its main thread', 'time of the event loop', 'swaps taken with the next'],
  rows: figures.map(({ name, cpu, thread, loop, merged }) => [name, cpu, thread, loop, String(merged)]),
  note: 'Medians of the rounds, each over many reloads.',
})

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { childrenAtRest, childrenOf, isAlive } from '../../lib/at-rest.ts'
import { residentMb } from '../../lib/machine.ts'
import type { Midflight } from '../../lib/midflight.ts'
import { MountedDirectory } from '../../lib/mounted-directory.ts'
import { spread } from '../../lib/numbers.ts'
import type { Report, Target } from '../../lib/report.ts'
import { type Answer, ask } from '../dev/subjects.ts'
import { AGENT, startRuntime } from '../mount/runtime.ts'
import type { Part, Setup } from '../part.ts'
import { FAULT_NAMES, type Fault, faultyFiles } from './tools.ts'

const TIMEOUT_SECONDS = 1
const MEMORY_MIB = 128
/** Of each fault, over all rounds. */
const SAMPLES = 100
/** Faults of one version: code that goes on with it has to wait for its next process. */
const FAULTS_A_VERSION = 4
const LIMIT_MS = 10_000
/** Time between two runs of the agent, while tools fail. */
const RUN_EVERY_MS = 20

type Site = {
  readonly midflight: Midflight
  readonly directory: MountedDirectory
  /** One for the calls that fail, one for those that ask whether the tool is back. */
  readonly faulty: Client
  readonly asking: Client
  version: number
  faults: number
}

/** In milliseconds. */
type Sample = {
  /** From the deadline, the limit or the fault until the tool answered again. */
  readonly due: number
  /** The same from the end of its process. */
  readonly ended: number
}

/** What was found, and how long runs of an agent took meanwhile. */
type Found = {
  readonly samples: Readonly<Record<Fault, Sample[]>>
  readonly runs: number[]
  failedRuns: number
}

/** How soon another process answers when tool code has ended its own, and that the runtime does not notice. */
export const faults: Part = {
  name: 'faults',
  measure: async (setup) => {
    const site = await openSite(setup)
    const found: Found = { samples: { loop: [], exit: [], abort: [], crash: [], hog: [] }, runs: [], failedRuns: 0 }
    const over = new AbortController()
    const running = runAllTheWhile(site.midflight.url, found, over.signal)
    const perRound = setup.quick ? 3 : Math.ceil(SAMPLES / setup.rounds)
    for (let round = 0; round < setup.rounds; round++) {
      for (const fault of FAULT_NAMES)
        for (let n = 0; n < perRound; n++) found.samples[fault].push(await measureFault(site, fault))
      setup.say(`reload: faults, round ${round + 1} of ${setup.rounds}`)
    }
    over.abort()
    await running
    await site.faulty.close()
    await site.asking.close()
    await site.midflight.child.stop()
    return report(found)
  },
}

async function openSite(setup: Setup): Promise<Site> {
  const directory = new MountedDirectory(join(setup.home, 'faults'), faultyFiles(0))
  const tools = { timeoutSeconds: TIMEOUT_SECONDS, memoryMiB: MEMORY_MIB }
  const options = { name: 'faults', directory: directory.path, isolation: 'process', tools } as const
  const midflight = await startRuntime(setup, options)
  const [faulty, asking] = [new Client(midflight.url), new Client(midflight.url)]
  return { midflight, directory, faulty, asking, version: 0, faults: 0 }
}

/** Runs of an agent without tools: the runtime lives, and has time. */
async function runAllTheWhile(url: string, found: Found, signal: AbortSignal): Promise<void> {
  const client = new Client(url)
  const run = { path: `/agents/${AGENT}/runs`, body: JSON.stringify({ message: 'hello', stream: false }) }
  while (!signal.aborted) {
    const start = performance.now()
    const answer = await ask(client, { call: run }).catch(() => undefined)
    if (answer?.status === 200) found.runs.push(performance.now() - start)
    else found.failedRuns += 1
    await sleep(RUN_EVERY_MS)
  }
  await client.close()
}

async function measureFault(site: Site, fault: Fault): Promise<Sample> {
  if (site.faults % FAULTS_A_VERSION === 0) await nextVersion(site)
  site.faults += 1
  await childrenAtRest(site.midflight.child.pid, 2)
  const host = await fine(site)
  if (host === undefined) throw new Error(`before ${fault}: the tool does not answer`)
  const end = endOf(host.pid)
  const due = await causeFault(site, fault, host.pid)
  const again = await backIn(site)
  if (again.pid === host.pid) throw new Error(`${fault}: process ${host.pid} answers as if nothing had happened`)
  return { due: again.at - due, ended: again.at - (await end) }
}

/** A version that has not failed yet. */
async function nextVersion(site: Site): Promise<void> {
  site.version += 1
  const before = childrenOf(site.midflight.child.pid)
  site.directory.swap(faultyFiles(site.version))
  const end = performance.now() + LIMIT_MS
  while ((await fine(site))?.version !== site.version) {
    if (performance.now() > end) throw new Error(`version ${site.version} is not served`)
    await sleep(5)
  }
  await childrenAtRest(site.midflight.child.pid, 2, before)
}

/** @returns the moment from which a replacement is due: the deadline, the limit, or that of the fault itself */
async function causeFault(site: Site, fault: Fault, pid: number): Promise<number> {
  const start = performance.now()
  const call = callOf(site.faulty, fault)
  switch (fault) {
    case 'loop':
      // Who asks shortly before the deadline waits in line behind the loop.
      await sleep(TIMEOUT_SECONDS * 1_000 - 20)
      return start + TIMEOUT_SECONDS * 1_000
    case 'exit':
    case 'abort':
      await mustFail(fault, call)
      return start
    case 'crash': {
      await sleep(20)
      const crash = performance.now()
      process.kill(pid, 'SIGSEGV')
      await mustFail(fault, call)
      return crash
    }
    case 'hog': {
      const over = await overLimit(pid)
      await mustFail(fault, call)
      return over
    }
  }
}

async function mustFail(fault: Fault, call: Promise<Answer>): Promise<void> {
  const { status, text } = await call
  if (status === 200) throw new Error(`${fault}: answered ${text}`)
}

/** When a process was first seen to be gone, or dead and not yet waited for. */
async function endOf(pid: number): Promise<number> {
  while (isAlive(pid)) await sleep(1)
  return performance.now()
}

/** When the process was first seen to have more memory than it may. */
async function overLimit(pid: number): Promise<number> {
  const end = performance.now() + LIMIT_MS
  while (performance.now() < end) {
    if (isOver(pid)) return performance.now()
    await sleep(1)
  }
  throw new Error(`process ${pid} does not fill its memory`)
}

function isOver(pid: number): boolean {
  try {
    return !isAlive(pid) || residentMb(pid) > (MEMORY_MIB * 2 ** 20) / 1e6
  } catch {
    // It ended in between.
    return true
  }
}

type Fine = { readonly pid: number; readonly version: number }

/** Undefined when the call failed. */
async function fine({ asking }: Site): Promise<Fine | undefined> {
  const { status, text } = await callOf(asking, 'fine')
  const data: { result?: Fine } = JSON.parse(text)
  return status === 200 ? data.result : undefined
}

async function backIn(site: Site): Promise<Fine & { readonly at: number }> {
  const end = performance.now() + LIMIT_MS
  for (;;) {
    const answer = await fine(site)
    const at = performance.now()
    if (answer !== undefined) return { ...answer, at }
    if (at > end) throw new Error(`the tool is not back after ${LIMIT_MS} ms`)
  }
}

const callOf = (client: Client, name: string): Promise<Answer> =>
  ask(client, { call: { path: `/tools/${name}/call`, body: '{"arguments":{}}' } })

/** What a tool does, and from when on its replacement is due. */
const TITLES: Readonly<Record<Fault, readonly [does: string, from: string]>> = {
  loop: ['loops', 'its deadline'],
  exit: ['exits', 'the call'],
  abort: ['aborts', 'the call'],
  crash: ['crashes (SIGSEGV)', 'the signal'],
  hog: ['fills its memory', 'the limit'],
}

function report({ samples, runs, failedRuns }: Found): Report {
  const figures = FAULT_NAMES.map((fault) => ({
    fault,
    title: TITLES[fault],
    ms: spread(samples[fault].map(({ due }) => due)),
    endedMs: spread(samples[fault].map(({ ended }) => ended)),
  }))
  return {
    targets: [
      ...figures.flatMap(({ fault, title, ms }): Target[] => {
        const what = `tool that ${title[0]}: ${title[1]} → a replacement answers`
        if (fault === 'hog') return [{ what: `${what}, p99`, unit: 'ms', value: ms.p99, atMost: 100 }]
        return [
          { what: `${what}, p50`, unit: 'ms', value: ms.p50, atMost: 10 },
          { what: `${what}, p99`, unit: 'ms', value: ms.p99, atMost: 50 },
        ]
      }),
      { what: 'runs of an agent that failed meanwhile', unit: '', value: failedRuns, atMost: 0 },
    ],
    tables: [
      {
        title: 'From a fault of a tool to the first answer of another process, in ms',
        columns: ['a tool that', 'from', 'count', 'p50', 'p90', 'p99', 'max', 'p50 from the end of its process'],
        rows: figures.map(({ title, ms, endedMs }) => [
          ...title,
          String(ms.count),
          ms.p50,
          ms.p90,
          ms.p99,
          ms.max,
          endedMs.p50,
        ]),
        note: `Meanwhile ${runs.length} runs of an agent, p50 ${spread(runs).p50.toFixed(1)} ms, p99 ${spread(runs).p99.toFixed(1)} ms; ${failedRuns} failed.`,
      },
    ],
    data: { figures, samples, runs: spread(runs), failedRuns },
  }
}

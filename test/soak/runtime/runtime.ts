import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { type Midflight, metricsOf, startMidflight } from '../../../bench/lib/midflight.ts'
import { slope } from '../../../bench/lib/numbers.ts'
import { Processes } from '../../../bench/lib/processes.ts'
import { temporaryFolder } from '../../../bench/lib/temporary.ts'
import { createAtomicWriter } from '../../../src/runtime/files/atomic-writer.fixture.ts'
import type { Isolation } from '../../../src/runtime/tools/index.ts'
import { type Footprint, footprintAtRest } from '../footprint.ts'
import { COLLECTS, liveHeapOf } from '../live-heap.ts'
import { markOf, sourcesOf } from '../versions.ts'

export type RuntimeOptions = {
  /** The program that runs it: another version of Node, say. */
  readonly node: string
  readonly isolation: Isolation
  readonly swaps: number
  /** What its old generation may hold. */
  readonly heapMiB: number
  readonly say: (line: string) => void
}

/** A look at the runtime at rest, after so many swaps. */
export type Look = Footprint & { readonly swaps: number; readonly heapBytes: number }

export type RuntimeFigures = {
  /** Of Node. */
  readonly version: string
  readonly isolation: Isolation
  readonly swaps: number
  readonly looks: readonly Look[]
  /** Growth of the live heap over the second half. */
  readonly heapBytesPerSwap: number
}

const LOOKS = 10
const PAUSE_MS = 1
const SERVED_LIMIT_MS = 20_000

/**
 * A `midflight runtime` with a small heap that takes one swap of its bundle after the other, each when the one before
 * serves.
 * @throws Error when a version does not serve, or the process ends
 */
export async function soakRuntime({ node, isolation, swaps, heapMiB, say }: RuntimeOptions): Promise<RuntimeFigures> {
  using home = temporaryFolder()
  await using processes = new Processes()
  const directory = join(home.path, 'mount')
  const writer = createAtomicWriter(directory)
  await writer.write(sourcesOf({ number: 0 }))
  const args = ['runtime', '--bundle', `say=${directory}`, '--isolation', isolation, '--reload-log', 'false']
  const nodeArgs = [`--max-old-space-size=${heapMiB}`, ...COLLECTS]
  const midflight = await startMidflight(processes, args, { node, nodeArgs })
  const client = new Client(midflight.url)
  const looks: Look[] = []
  for (let number = 1; number <= swaps; number += 1) {
    await writer.write(sourcesOf({ number }))
    await midflight.child.whileAlive(untilServed(client, markOf({ number })))
    if (number % Math.ceil(swaps / LOOKS) !== 0) continue
    looks.push(await midflight.child.whileAlive(lookAt(midflight, number)))
    say(`${number} of ${swaps} swaps, ${((looks.at(-1)?.heapBytes ?? 0) / 1e6).toFixed(1)} MB of heap`)
  }
  await client.close()
  const version = nodeVersionIn(await metricsOf(midflight))
  await midflight.child.stop()
  const half = looks.slice(Math.floor(looks.length / 2)).map(({ swaps: x, heapBytes: y }) => ({ x, y }))
  return { version, isolation, swaps, looks, heapBytesPerSwap: slope(half) }
}

async function untilServed(client: Client, mark: string): Promise<void> {
  const end = performance.now() + SERVED_LIMIT_MS
  for (;;) {
    const headers = { 'content-type': 'application/json' }
    const answer = await client.request({ method: 'POST', path: '/tools/say/call', headers, body: '{}' })
    const text = await answer.body.text()
    if (text.includes(mark)) return
    // A process that starts for the next version needs the CPU as well.
    await sleep(PAUSE_MS)
    if (performance.now() > end) throw new Error(`${mark} does not serve after ${SERVED_LIMIT_MS} ms: ${text}`)
  }
}

function nodeVersionIn(metrics: ReadonlyMap<string, number>): string {
  const names = [...metrics.keys()]
  return names.map((name) => /^nodejs_version_info\{version="(v[\d.]+)"/.exec(name)?.[1]).find(Boolean) ?? 'unknown'
}

async function lookAt(midflight: Midflight, swaps: number): Promise<Look> {
  const heapBytes = await liveHeapOf(midflight)
  return { ...(await footprintAtRest(midflight.child.pid)), swaps, heapBytes }
}

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { type Context, QUICKSTART } from '../lib/bench.ts'
import { type Midflight, metricsOf, startMidflight } from '../lib/midflight.ts'
import { slope } from '../lib/numbers.ts'

/** The process after some cycles, garbage collected. */
export type Sample = {
  readonly cycles: number
  readonly heapKiB: number
  readonly residentMb: number
  readonly handles: number
  readonly timers: number
  /** Lines of /metrics: series that stay behind would show here. */
  readonly series: number
  /** Size of `/config`: agents that stay behind would show here. */
  readonly configBytes: number
}

export type Cycles = {
  readonly samples: readonly Sample[]
  readonly heapBytesPerCycle: number
  readonly residentBytesPerCycle: number
  readonly perSecond: number
}

/** Enough to fill what is kept on purpose: of the last 16,384 events, which a runtime keeps, a cycle makes two. */
export const WARM_UP = 8_500

/** Adds and removes agents by the dynamic calls, and looks at the process in between. */
export async function measureCycles({ processes, quick, say }: Context): Promise<Cycles> {
  const preload = join(import.meta.dirname, 'collect-on-signal.ts')
  const midflight = await startMidflight(processes, ['dev', QUICKSTART], { nodeArgs: ['--import', preload] })
  const client = new Client(midflight.url)
  const total = quick ? 500 : 1_000
  for (let n = 0; n < WARM_UP; n++) await cycle(client, n)
  const samples = [await sample(midflight, client, 0)]
  let busyMs = 0
  for (let done = 0; done < total; done += total / 10) {
    const start = performance.now()
    for (let n = 0; n < total / 10; n++) await cycle(client, WARM_UP + done + n)
    busyMs += performance.now() - start
    samples.push(await sample(midflight, client, done + total / 10))
  }
  await client.close()
  await midflight.child.stop()
  say(`start: ${total} cycles of adding and removing an agent`)
  const perCycle = (pick: (of: Sample) => number): number =>
    slope(samples.map((each) => ({ x: each.cycles, y: pick(each) })))
  return {
    samples,
    heapBytesPerCycle: perCycle(({ heapKiB }) => heapKiB * 1024),
    residentBytesPerCycle: perCycle(({ residentMb }) => residentMb * 1e6),
    perSecond: (total * 1000) / busyMs,
  }
}

/** Every agent has a name of its own. It is not run: its conversation would rightly stay, for a while. */
async function cycle(client: Client, n: number): Promise<void> {
  const id = `added-${n}`
  const config = JSON.stringify({ id, instructions: `You are agent ${n}.` })
  await expectOk(client, 'POST', '/runtime/agents', config)
  await expectOk(client, 'GET', `/agents/${id}`)
  await expectOk(client, 'DELETE', `/runtime/agents/${id}`)
}

async function expectOk(
  client: Client,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: string,
): Promise<string> {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' }
  const answer = await client.request({ method, path, headers, body: body ?? null })
  const text = await answer.body.text()
  if (answer.statusCode !== 200) throw new Error(`${method} ${path} answered ${answer.statusCode}: ${text}`)
  return text
}

async function sample(midflight: Midflight, client: Client, cycles: number): Promise<Sample> {
  await sleep(200)
  midflight.child.signal('SIGUSR2')
  await sleep(300)
  const metrics = await metricsOf(midflight)
  const config = await expectOk(client, 'GET', '/config')
  const metric = (name: string): number => metrics.get(name) ?? 0
  return {
    cycles,
    heapKiB: metric('nodejs_heap_size_used_bytes') / 1024,
    residentMb: metric('process_resident_memory_bytes') / 1e6,
    handles: metric('nodejs_active_handles_total'),
    timers: metric('nodejs_active_resources{type="Timeout"}'),
    series: metrics.size,
    configBytes: config.length,
  }
}

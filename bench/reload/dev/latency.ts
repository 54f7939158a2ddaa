import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import type { Context } from '../../lib/bench.ts'
import type { Midflight } from '../../lib/midflight.ts'
import { median, type Spread, spread } from '../../lib/numbers.ts'
import { between, shuffled } from '../../lib/random.ts'
import type { Table, Target } from '../../lib/report.ts'
import { ask, SAVES, type Save, type Subject } from './subjects.ts'

const LIMIT_MS = 5_000
/** Milliseconds between two saves. */
const IDLE: readonly [number, number] = [20, 120]

type Kind = { readonly subject: Subject; readonly save: Save }

export type Latencies = {
  readonly kind: string
  /** From the start of the save to the end of the first answer that shows it, in milliseconds. */
  readonly saved: readonly number[]
  /** Duration of one call with no save under way: how finely the above is seen. */
  readonly calls: readonly number[]
  readonly p50ByRound: readonly number[]
}

/** Saves and polls: every kind of save in each round, in random order. */
export async function measureLatency(
  context: Context,
  midflight: Midflight,
  subjects: readonly Subject[],
  random: () => number,
): Promise<Latencies[]> {
  const kinds = subjects.flatMap((subject) => (Object.keys(SAVES) as Save[]).map((save): Kind => ({ subject, save })))
  const perRound = context.quick ? 5 : Math.ceil(200 / context.rounds)
  const found = new Map<Kind, { saved: number[][]; calls: number[] }>(kinds.map((kind) => [kind, newFinding()]))
  const client = new Client(midflight.url)
  let token = 0
  for (let round = 0; round < context.rounds; round++) {
    for (const finding of found.values()) finding.saved.push([])
    for (let n = 0; n < perRound; n++) {
      for (const [kind, finding] of shuffled(random, [...found])) {
        await sleep(between(random, ...IDLE))
        token += 1
        finding.calls.push(await timeCall(client, kind))
        finding.saved.at(-1)?.push(await savedToServed(client, kind, `v${token}.`))
      }
    }
    context.say(`reload: round ${round + 1} of ${context.rounds}`)
  }
  await client.close()
  return [...found].map(([{ subject, save }, { saved, calls }]) => ({
    kind: `${subject.name}, ${save === 'inPlace' ? 'written in place' : 'renamed into place'}`,
    saved: saved.flat(),
    calls,
    p50ByRound: saved.map(median),
  }))
}

const newFinding = (): { saved: number[][]; calls: number[] } => ({ saved: [], calls: [] })

async function savedToServed(client: Client, { subject, save }: Kind, token: string): Promise<number> {
  const start = performance.now()
  await SAVES[save](subject.path, subject.good(token))
  for (;;) {
    const text = await served(client, subject)
    const ms = performance.now() - start
    if (text.includes(token)) return ms
    if (ms > LIMIT_MS) throw new Error(`${subject.path}: ${token} not served in ${LIMIT_MS} ms: ${text}`)
  }
}

async function timeCall(client: Client, { subject }: Kind): Promise<number> {
  const start = performance.now()
  await served(client, subject)
  return performance.now() - start
}

async function served(client: Client, subject: Subject): Promise<string> {
  const { status, text } = await ask(client, subject)
  if (status !== 200) throw new Error(`${subject.call.path} answered ${status}: ${text}`)
  return text
}

export function latencyReport(latencies: readonly Latencies[]): { table: Table; targets: Target[]; data: unknown } {
  const spreads = latencies.map((found) => ({ ...found, ms: spread(found.saved), callMs: spread(found.calls) }))
  const cells = ({ count, p50, p90, p99, max }: Spread): (string | number)[] => [String(count), p50, p90, p99, max]
  return {
    table: {
      title: 'From the start of a save to the first answer that shows it, in ms',
      columns: ['save', 'count', 'p50', 'p90', 'p99', 'max', 'p50 of rounds', 'one call p50'],
      rows: spreads.map(({ kind, ms, callMs, p50ByRound }) => [
        kind,
        ...cells(ms),
        `${Math.min(...p50ByRound).toFixed(1)}-${Math.max(...p50ByRound).toFixed(1)}`,
        callMs.p50,
      ]),
    },
    targets: spreads.flatMap(({ kind, ms }) => [
      { what: `${kind}: saved → served, p50`, unit: 'ms', value: ms.p50, atMost: 10 },
      { what: `${kind}: saved → served, p99`, unit: 'ms', value: ms.p99, atMost: 40 },
    ]),
    data: spreads.map(({ kind, ms, callMs, p50ByRound, saved }) => ({ kind, ms, callMs, p50ByRound, saved })),
  }
}

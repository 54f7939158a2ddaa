import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import type { Context } from '../../lib/bench.ts'
import type { Midflight } from '../../lib/midflight.ts'
import { between, shuffled } from '../../lib/random.ts'
import type { Table, Target } from '../../lib/report.ts'
import { type Answer, ask, SAVES, type Save, type Subject } from './subjects.ts'

export type BadSaves = {
  goodSaves: number
  badSaves: number
  requests: number
  /** Answers other than 200, and requests without an answer. */
  dropped: number
  /** Answers of a version that must never serve. */
  bad: number
  /** Answers of a version that an earlier answer had already left behind, or that was never the last good one. */
  stale: number
  /** Good versions that were not served in time. */
  missed: number
}

const LIMIT_MS = 5_000
const CALLERS = 2

/** What may be served of a subject now, and what was seen. */
type Watched = { readonly subject: Subject; version: number; seen: number }

/**
 * Saves under steady calls, every tenth save bad and then mended: nothing but good versions may serve, in their
 * order, and every call must be answered.
 */
export async function measureBadSaves(
  { quick, say }: Context,
  { url }: Midflight,
  subjects: readonly Subject[],
  random: () => number,
): Promise<BadSaves> {
  const count: BadSaves = { goodSaves: 0, badSaves: 0, requests: 0, dropped: 0, bad: 0, stale: 0, missed: 0 }
  const watched = subjects.map((subject): Watched => ({ subject, version: 0, seen: 0 }))
  const over = new AbortController()
  for (const each of watched) await saveGood(each, 'rename', count)
  await sleep(500)
  const callers = watched.flatMap((each) => Array.from({ length: CALLERS }, () => call(url, each, count, over.signal)))
  for (let n = 0; n < (quick ? 20 : 200); n++) {
    await sleep(between(random, 20, 120))
    const [each] = shuffled(random, watched)
    if (each === undefined) break
    const save: Save = random() < 0.5 ? 'inPlace' : 'rename'
    if (n % 10 === 9) await saveBad(each, save, count)
    else await saveGood(each, save, count)
  }
  over.abort()
  await Promise.all(callers)
  say(`reload: ${count.badSaves} bad saves, ${count.requests} calls`)
  return count
}

async function saveGood(watched: Watched, save: Save, count: BadSaves): Promise<void> {
  const { subject } = watched
  watched.version += 1
  count.goodSaves += 1
  await SAVES[save](subject.path, subject.good(goodToken(watched.version)))
}

/** Saves what must not serve, leaves it for a while, and mends it: a bundle with one bad file takes no other change. */
async function saveBad(watched: Watched, save: Save, count: BadSaves): Promise<void> {
  const { subject } = watched
  count.badSaves += 1
  await SAVES[save](subject.path, subject.bad(`bad${count.badSaves}.`, count.badSaves))
  await sleep(150)
  await saveGood(watched, save, count)
  const end = performance.now() + LIMIT_MS
  while (watched.seen < watched.version && performance.now() < end) await sleep(5)
  if (watched.seen < watched.version) count.missed += 1
}

const goodToken = (version: number): string => `good${version}.`

async function call(url: string, watched: Watched, count: BadSaves, signal: AbortSignal): Promise<void> {
  const client = new Client(url)
  while (!signal.aborted) {
    const [lowest, asked] = [watched.seen, ask(client, watched.subject)]
    count.requests += 1
    try {
      judge(await asked, lowest, watched, count)
    } catch {
      // No answer is what is counted; why does not matter here.
      count.dropped += 1
    }
  }
  await client.close()
}

function judge({ status, text }: Answer, lowest: number, watched: Watched, count: BadSaves): void {
  const version = Number(/good(\d+)\./.exec(text)?.[1] ?? Number.NaN)
  if (status !== 200) count.dropped += 1
  else if (/bad\d+\./.test(text)) count.bad += 1
  else if (!(version >= lowest && version <= watched.version)) count.stale += 1
  else watched.seen = Math.max(watched.seen, version)
}

export function badSavesReport(found: BadSaves): { table: Table; targets: Target[] } {
  const none = (what: string, value: number): Target => ({ what, unit: '', value, atMost: 0 })
  return {
    table: {
      title: 'Saves under steady calls, one in ten of them bad',
      columns: ['good saves', 'bad saves', 'calls', 'dropped', 'served bad', 'served stale', 'good ones missed'],
      rows: [
        [found.goodSaves, found.badSaves, found.requests, found.dropped, found.bad, found.stale, found.missed].map(
          String,
        ),
      ],
    },
    targets: [
      none('bad saves: calls that were dropped', found.dropped),
      none('bad saves: answers of a bad version', found.bad),
      none('bad saves: answers of a version left behind', found.stale),
      none('bad saves: mended versions that did not serve', found.missed),
    ],
  }
}

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Midflight, metricsOf } from '../../bench/lib/midflight.ts'

/** Options of node with which a runtime collects its garbage when it is asked to. */
export const COLLECTS = ['--import', join(import.meta.dirname, '../../bench/start/collect-on-signal.ts')] as const

/** Bytes that the heap of a runtime holds when its garbage has been collected. */
export async function liveHeapOf(midflight: Midflight): Promise<number> {
  midflight.child.signal('SIGUSR2')
  await sleep(300)
  return (await metricsOf(midflight)).get('nodejs_heap_size_used_bytes') ?? Number.NaN
}

import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, MAIN, QUICKSTART } from '../lib/bench.ts'
import { metricsOf, startMidflight } from '../lib/midflight.ts'

type IdleProcess = { readonly name: string; readonly main: string; readonly args: readonly string[] }

export const BUILT_RUNTIME = '`midflight runtime`, built'

/** What is left alone: from the sources, where Node takes the types out at start, and built, as in an image. */
export function idleProcesses(builtMain: string): readonly IdleProcess[] {
  const runtime = ['runtime', '--definitions', QUICKSTART, '--bundle', `quickstart=${QUICKSTART}`]
  return [
    { name: BUILT_RUNTIME, main: builtMain, args: runtime },
    { name: '`midflight runtime`, from the sources', main: MAIN, args: runtime },
    { name: '`midflight dev`, from the sources', main: MAIN, args: ['dev', QUICKSTART] },
  ]
}

/** Resident memory, in MB, of a process that has loaded the quickstart and then did nothing for 10 s. */
export async function idleMb({ processes, quick }: Context, { main, args }: IdleProcess): Promise<number> {
  const midflight = await startMidflight(processes, args, { main })
  await sleep(quick ? 1_000 : 10_000)
  const metrics = await metricsOf(midflight)
  await midflight.child.stop()
  return (metrics.get('process_resident_memory_bytes') ?? Number.NaN) / 1e6
}

import { Pool } from 'undici'

/** Does one task from start to end and throws when the answer is not the right one. */
export type Task = (pool: Pool) => Promise<void>

/** Durations of `count` tasks one after the other on one connection, in milliseconds. */
export async function serial(url: string, task: Task, count: number): Promise<number[]> {
  const pool = new Pool(url, { connections: 1 })
  const durations: number[] = []
  for (let n = 0; n < count; n++) {
    const start = performance.now()
    await task(pool)
    durations.push(performance.now() - start)
  }
  await pool.close()
  return durations
}

export type Throughput = { readonly runs: number; readonly perSecond: number; readonly seconds: number }

/** As many tasks as go in `ms` with `inFlight` of them at any time. */
export async function throughput(url: string, task: Task, inFlight: number, ms: number): Promise<Throughput> {
  const pool = new Pool(url, { connections: inFlight, headersTimeout: 60_000 })
  const start = performance.now()
  let runs = 0
  const worker = async (): Promise<void> => {
    while (performance.now() - start < ms) {
      await task(pool)
      runs += 1
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  const seconds = (performance.now() - start) / 1000
  await pool.close()
  return { runs, perSecond: runs / seconds, seconds }
}

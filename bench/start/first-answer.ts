import { request } from 'undici'
import { type Context, ROOT } from '../lib/bench.ts'
import { freePort, until } from '../lib/processes.ts'

/** From `npm start` to the first answer of an agent's run, in milliseconds. */
export async function firstAnswer({ processes }: Context): Promise<number> {
  const [port, metricsPort] = [await freePort(), await freePort()]
  const begun = performance.now()
  const child = processes.start(['npm', 'start'], {
    cwd: ROOT,
    env: { MIDFLIGHT_PORT: String(port), MIDFLIGHT_METRICS_PORT: String(metricsPort) },
  })
  const answered = async (): Promise<number | undefined> => {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/agents/support/runs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'hello', stream: false }),
    })
    await body.dump()
    return statusCode === 200 ? performance.now() - begun : undefined
  }
  const ms = await child.whileAlive(until('the first answer', answered, { everyMs: 5 }))
  await child.stop()
  return ms
}

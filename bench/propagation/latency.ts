import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'undici'
import type { Cluster } from '../../test/api/harness/cluster.ts'
import type { Subject } from './subjects.ts'

const LIMIT_MS = 10_000
/** Pause between two looks at a runtime, in milliseconds: the cores are shared with what is measured. */
const PAUSE_MS = 2

/** One run of the subject's agent. @throws Error when it is not answered 200 */
export async function ask(client: Client, { agent, message }: Subject): Promise<string> {
  const { statusCode, body } = await client.request({
    method: 'POST',
    path: `/agents/${agent}/runs`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message, stream: false }),
  })
  const text = await body.text()
  if (statusCode !== 200) throw new Error(`a run of ${agent} was answered ${statusCode}: ${text}`)
  return text
}

/** Changes the subject. @returns for each runtime, from the API server's answer to the end of the first run that shows it */
export async function changeToServed(
  cluster: Cluster,
  clients: readonly Client[],
  subject: Subject,
  token: string,
): Promise<readonly number[]> {
  await subject.change(cluster, token)
  const committed = performance.now()
  return Promise.all(
    clients.map(async (client, n) => {
      while (!(await ask(client, subject)).includes(token)) {
        if (performance.now() - committed > LIMIT_MS) {
          throw new Error(`${subject.name}: runtime ${n} does not serve ${token} after ${LIMIT_MS} ms`)
        }
        await sleep(PAUSE_MS)
      }
      return performance.now() - committed
    }),
  )
}

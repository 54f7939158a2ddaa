import { request } from 'node:http'
import { join } from 'node:path'
import { programPath } from '../binaries.ts'
import { until } from '../until.ts'
import { type Child, startChild } from './child.ts'

export interface Etcd {
  /** For `--etcd-servers`. */
  readonly url: string
  readonly child: Child
  /** Forgets every revision before the present one. @returns the present revision */
  compact(): Promise<number>
}

/** Starts etcd on a socket in the folder: no port to clash with another cluster's. Nothing is synced to disk. */
export async function startEtcd(folder: string): Promise<Etcd> {
  const socketPath = join(folder, 'etcd.sock')
  const url = `unix://${socketPath}`
  const flags = {
    'data-dir': join(folder, 'etcd'),
    'listen-client-urls': url,
    // It has no members to tell: a socket is refused here, and port 0 is nobody's.
    'advertise-client-urls': 'http://127.0.0.1:0',
    'listen-peer-urls': 'http://127.0.0.1:0',
    'log-level': 'error',
    'unsafe-no-fsync': 'true',
  }
  const child = await startChild({
    name: 'etcd',
    program: programPath('etcd'),
    args: Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    folder,
    logFile: join(folder, 'etcd.log'),
  })
  const call = (path: string, body: object) => post(socketPath, path, body)
  await until('etcd answers', async () => {
    if (child.state === 'ended') throw new Error(`etcd has ended:\n${child.logTail()}`)
    return call('/v3/maintenance/status', {}).then(
      () => true,
      () => false,
    )
  }).catch(async (error: unknown) => {
    await child.kill()
    throw error
  })
  return {
    url,
    child,
    compact: async () => {
      const revision = await revisionOf(call('/v3/kv/range', { key: Buffer.from('any').toString('base64') }))
      await call('/v3/kv/compaction', { revision, physical: true })
      return revision
    },
  }
}

async function revisionOf(answer: Promise<unknown>): Promise<number> {
  const { header } = (await answer) as { header: { revision: string } }
  return Number(header.revision)
}

/** A call of etcd's JSON gateway. */
function post(socketPath: string, path: string, body: object): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const call = request(
    { socketPath, path, method: 'POST', headers: { 'content-type': 'application/json' } },
    (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('error', reject)
      answer.on('data', (piece: string) => {
        text += piece
      })
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(JSON.parse(text))
        else reject(new Error(`etcd ${path} answered ${answer.statusCode}: ${text}`))
      })
    },
  )
  call.on('error', reject)
  call.end(JSON.stringify(body))
  return promise
}

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createAuthority } from '../../../test/api/harness/pki.ts'
import { until } from '../../../test/support/runtime.ts'
import { type Serving, serve } from './listen.ts'
import type { ServedCertificate } from './tls.ts'

let folder: string
let ca: Buffer
const fileAt = (name: string) => join(folder, name)
const tls = () => ({ cert: fileAt('tls.crt'), key: fileAt('tls.key') })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tls-'))
  const authority = await createAuthority(folder)
  await authority.server('first')
  await authority.server('second')
  ca = await readFile(authority.caFile)
})
afterAll(() => rm(folder, { recursive: true }))

const show = async (name: string): Promise<void> => {
  await copyFile(fileAt(`${name}.crt`), tls().cert)
  await copyFile(fileAt(`${name}.key`), tls().key)
}

async function started(
  onCertificate: (served: ServedCertificate) => void = () => undefined,
): Promise<Serving & { stop(): Promise<void> }> {
  await show('first')
  const stop = new AbortController()
  const options = { host: '127.0.0.1', port: 0, signal: stop.signal, tls: tls(), drainMs: 100, onCertificate }
  const serving = await serve({ app: (_req, res) => void res.end('hello'), ...options })
  return {
    ...serving,
    stop: () => {
      stop.abort()
      return serving.closed
    },
  }
}

/** The name in the certificate of a new connection. */
function nameOf(port: number, options: { maxVersion?: 'TLSv1.1' | 'TLSv1.2' } = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, ca, minVersion: 'TLSv1', ...options }, () => {
      resolve(socket.getPeerCertificate().subject.CN)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

const get = (url: string, agent: Agent): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    const asked = request(url, { agent, ca }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      answer.on('end', () => resolve(text))
    })
    asked.on('error', reject).end()
  })

test('a certificate that changes counts for new connections; those that are open stay', async () => {
  const serving = await started()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  expect(serving.url).toMatch(/^https:/)
  expect(await get(serving.url, agent)).toBe('hello')
  const [open] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? [])
  expect(await nameOf(serving.port)).toBe('first')
  await show('second')
  await until('new connections get the new certificate', async () => (await nameOf(serving.port)) === 'second')
  expect(await get(serving.url, agent)).toBe('hello')
  expect(Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? [])).toEqual([open])
  agent.destroy()
  await serving.stop()
})

test('while certificate and key do not belong together the last pair counts', async () => {
  const serving = await started()
  await copyFile(fileAt('second.crt'), tls().cert)
  const end = performance.now() + 1_500
  await until('the files were looked at', () => performance.now() > end)
  expect(await nameOf(serving.port)).toBe('first')
  await copyFile(fileAt('second.key'), tls().key)
  await until('the pair is whole', async () => (await nameOf(serving.port)) === 'second')
  await serving.stop()
})

test('which certificate is served is told, at first and when it changes', async () => {
  const told: ServedCertificate[] = []
  const serving = await started((served) => told.push(served))
  const expected = async (name: string) => {
    const { fingerprint256, validToDate } = new X509Certificate(await readFile(fileAt(`${name}.crt`)))
    return { fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(), notAfter: validToDate.toISOString() }
  }
  expect(told).toEqual([await expected('first')])
  await show('second')
  await until('it is told', () => told.length > 1)
  expect(told).toEqual([await expected('first'), await expected('second')])
  await serving.stop()
})

test('a session of before the change is not resumed: the client is shown the new certificate', async () => {
  const serving = await started()
  const connectTo = (session?: Buffer) =>
    connect({ host: '127.0.0.1', port: serving.port, ca, ...(session && { session }) })
  const first = connectTo()
  const [ticket] = (await once(first, 'session')) as [Buffer]
  const resumed = async () => {
    const socket = connectTo(ticket)
    await once(socket, 'secureConnect')
    const isReused = socket.isSessionReused()
    socket.destroy()
    return isReused
  }
  expect(await resumed()).toBe(true)
  await show('second')
  await until('new connections get the new certificate', async () => (await nameOf(serving.port)) === 'second')
  expect(await resumed()).toBe(false)
  first.destroy()
  await serving.stop()
})

test('a call over plain HTTP is not answered', async () => {
  const serving = await started()
  await expect(fetch(serving.url.replace('https', 'http'))).rejects.toThrow()
  await serving.stop()
})

test('TLS 1.2 is spoken, and nothing older', async () => {
  const serving = await started()
  expect(await nameOf(serving.port, { maxVersion: 'TLSv1.2' })).toBe('first')
  await expect(nameOf(serving.port, { maxVersion: 'TLSv1.1' })).rejects.toThrow()
  await serving.stop()
})

test.each([
  ['is missing', async () => rm(tls().key, { force: true }), 'cannot be used'],
  ['is no key', () => writeFile(tls().key, 'nothing'), 'cannot be used'],
  ['is another’s', () => copyFile(fileAt('second.key'), tls().key), 'do not belong together'],
])('a key that %s is an error at the start that names the files', async (_what, spoil, message) => {
  await show('first')
  await spoil()
  const options = { host: '127.0.0.1', port: 0, signal: new AbortController().signal, tls: tls() }
  await expect(serve({ app: () => undefined, ...options })).rejects.toThrow(message)
})

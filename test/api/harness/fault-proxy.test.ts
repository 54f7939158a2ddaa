import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'
import { createAuthority } from './pki.ts'
import { until } from './until.ts'

/** A connection with what arrived on it and how it ended. */
type Seen = { readonly socket: Socket; text: string; end: 'open' | 'FIN' | 'RST' | 'refused'; closed: boolean }

function watched(socket: Socket): Seen {
  const seen: Seen = { socket, text: '', end: 'open', closed: false }
  socket.on('data', (piece) => {
    seen.text += piece.toString()
  })
  socket.on('end', () => {
    seen.end = 'FIN'
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    seen.end = error.code === 'ECONNREFUSED' ? 'refused' : 'RST'
  })
  socket.on('close', () => {
    seen.closed = true
  })
  return seen
}

/** Long enough for a byte to arrive that should not. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 80))

const stack = { current: new AsyncDisposableStack() }
beforeEach(() => {
  stack.current = new AsyncDisposableStack()
})
afterEach(() => stack.current.disposeAsync())

/** A server whose sides of its connections the test holds, a proxy before it, and clients of the proxy. */
async function setUp() {
  const served: Seen[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => served.push(watched(socket)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = stack.current.use(await startFaultProxy({ port: (server.address() as AddressInfo).port }))
  stack.current.defer(() => {
    server.close()
    for (const { socket } of served) socket.destroy()
  })
  const dial = () => {
    const seen = watched(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }))
    stack.current.defer(() => void seen.socket.destroy())
    return seen
  }
  /** A client and the server's side of its connection. */
  const pair = async (): Promise<{ client: Seen; server: Seen }> => {
    const client = dial()
    client.socket.write('hello')
    const found = await until('the connection reaches the server', () => served.find(({ text }) => text === 'hello'))
    found.text = ''
    return { client, server: found }
  }
  return { proxy, dial, pair, served }
}

const arrives = (seen: Seen, text: string) => until(`${text} arrives`, () => seen.text === text)

describe('a fault proxy', () => {
  test('passes bytes on in both directions and counts them', async () => {
    const { proxy, pair } = await setUp()
    const { client, server } = await pair()
    server.socket.write('answer')
    await arrives(client, 'answer')
    expect({ ...proxy.bytes, open: proxy.connections, accepted: proxy.accepted }).toEqual({
      toServer: 5,
      toClient: 6,
      open: 1,
      accepted: 1,
    })
    client.socket.end()
    await until('the server sees the end', () => server.end === 'FIN')
    server.socket.end('last')
    await until('the client sees the end', () => client.end === 'FIN')
    expect(client.text).toBe('answerlast')
    await until('nothing is open', () => proxy.connections === 0)
  })

  test('frozen, holds back every byte of old and new connections without ending one; thawed, delivers all', async () => {
    const { proxy, pair, dial, served } = await setUp()
    const { client, server } = await pair()
    proxy.freeze()
    const late = dial()
    late.socket.write('late')
    client.socket.write('up')
    server.socket.write('down')
    await until('the new connection is accepted', () => proxy.accepted === 2)
    await settled()
    expect([client.text, server.text, served.length]).toEqual(['', '', 1])
    expect([client.end, server.end, late.end]).toEqual(['open', 'open', 'open'])
    proxy.thaw()
    await Promise.all([arrives(client, 'down'), arrives(server, 'up')])
    await until('the new one reaches the server', () => served.some(({ text }) => text === 'late'))
  })

  test('reset ends connections by RST on both sides', async () => {
    const { proxy, pair } = await setUp()
    const { client, server } = await pair()
    proxy.reset()
    await until('both are closed', () => client.closed && server.closed)
    expect([client.end, server.end]).toEqual(['RST', 'RST'])
    expect((await pair()).client.end).toBe('open')
  })

  test('refuses new connections only, until it accepts again on the same port', async () => {
    const { proxy, pair, dial } = await setUp()
    const { client, server } = await pair()
    proxy.refuse()
    const refused = dial()
    await until('it is refused', () => refused.end === 'refused')
    server.socket.write('still')
    await arrives(client, 'still')
    await proxy.accept()
    await pair()
    expect(proxy.accepted).toBe(2)
  })

  test('delays every byte and keeps their order', async () => {
    const { proxy, pair } = await setUp()
    const { client, server } = await pair()
    proxy.delay(120)
    const arrived = once(client.socket, 'data').then(() => performance.now())
    const written: number[] = []
    for (const piece of ['a', 'b', 'c', 'd']) {
      written.push(performance.now())
      server.socket.write(piece)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await arrives(client, 'abcd')
    expect((await arrived) - (written.at(0) ?? 0)).toBeGreaterThanOrEqual(119)
    // Each piece is late by itself.
    expect(performance.now() - (written.at(-1) ?? 0)).toBeGreaterThanOrEqual(119)
  })

  test('half closed, ends the server’s side alone', async () => {
    const { proxy, pair } = await setUp()
    const { client, server } = await pair()
    proxy.halfClose()
    await until('the client sees the end', () => client.end === 'FIN')
    client.socket.write('up')
    await arrives(server, 'up')
    server.socket.write('dropped')
    await settled()
    expect([client.text, server.end]).toEqual(['', 'open'])
  })

  test('truncates open connections after so many bytes, and no later one', async () => {
    const { proxy, pair } = await setUp()
    const { client, server } = await pair()
    server.socket.write('whole\n')
    await arrives(client, 'whole\n')
    proxy.truncateAfter(4)
    server.socket.write('ha')
    server.socket.write('lf a line\n')
    await until('both are ended', () => client.end !== 'open' && server.end !== 'open')
    expect(client.text).toBe('whole\nhalf')
    const later = await pair()
    later.server.socket.write('whole again')
    await arrives(later.client, 'whole again')
  })
})

test.each(['h2', 'http/1.1'])('a fault proxy that ends TLS truncates what is inside it, over %s', async (protocol) => {
  const folder = await mkdtemp(join(tmpdir(), 'midflight-proxy-'))
  stack.current.defer(() => rm(folder, { recursive: true }))
  const authority = await createAuthority(folder)
  const certificate = await authority.server('both')
  const options = {
    cert: readFileSync(certificate.certFile),
    key: readFileSync(certificate.keyFile),
    ALPNProtocols: ['h2', 'http/1.1'],
  }
  const served: TLSSocket[] = []
  const server = createTlsServer(options, (socket) => {
    served.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (piece) => socket.write(`${socket.alpnProtocol} ${piece}`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.current.defer(() => void server.close())
  const { port } = server.address() as AddressInfo
  const proxy: FaultProxy = stack.current.use(
    await startFaultProxy({ port, tls: { certificate, serverCaFile: authority.caFile } }),
  )
  const ca = readFileSync(authority.caFile)
  const client = watched(connectTls({ host: '127.0.0.1', port: proxy.port, ca, ALPNProtocols: [protocol] }))
  client.socket.write('a line')
  await arrives(client, `${protocol} a line`)
  expect(proxy.bytes).toEqual({ toServer: 6, toClient: protocol.length + 7 })
  proxy.truncateAfter(3)
  client.socket.write('cut')
  await until('it is closed', () => client.closed)
  expect(client.text).toBe(`${protocol} a line${`${protocol} cut`.slice(0, 3)}`)
  const second = watched(connectTls({ host: '127.0.0.1', port: proxy.port, ca, ALPNProtocols: [protocol] }))
  second.socket.write('x')
  await arrives(second, `${protocol} x`)
  proxy.reset()
  await until('it is reset', () => second.closed)
  expect(second.end).toBe('RST')
})

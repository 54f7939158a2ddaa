import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import {
  createAuthority,
  createFeed,
  cut,
  type FakeApiServer,
  failure,
  hang,
  json,
  raw,
  startFakeApiServer,
  stream,
  tooManyRequests,
  until,
} from '../../../test/api/harness/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import { createRestMetrics } from '../metrics/rest.ts'
import type { ClusterConfig } from './config.ts'
import { createTransport, type TransportOptions, type TransportRequest } from './transport.ts'

let fake: FakeApiServer
let running: AbortController
beforeEach(async () => {
  fake = await startFakeApiServer()
  running = new AbortController()
})
afterEach(async () => {
  running.abort()
  await fake[Symbol.asyncDispose]()
})

const configOf = (config: Partial<ClusterConfig> = {}): ClusterConfig => ({
  server: fake.url,
  ca: { file: fake.caFile ?? '' },
  credentials: { type: 'anonymous' },
  ...config,
})
const transportOf = (config: Partial<ClusterConfig> = {}, options: Partial<TransportOptions> = {}) =>
  createTransport(configOf(config), { signal: running.signal, random: () => 0, ...options })

const GET: TransportRequest = { method: 'GET', path: '/x', repeatable: true }
const POST: TransportRequest = { method: 'POST', path: '/x', body: '{}', repeatable: false }
const count = (path = '/x') => fake.requests.filter((request) => request.path === path).length

/** All text of a stream, and how it ended. */
async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<{ text: string; error?: unknown }> {
  const pieces: Uint8Array[] = []
  const text = () => Buffer.concat(pieces).toString()
  try {
    for await (const chunk of chunks) pieces.push(chunk)
    return { text: text() }
  } catch (error) {
    return { text: text(), error }
  }
}

describe('a request', () => {
  test('goes over HTTP/1.1 and gives the body', async () => {
    fake.script('GET', '/x', json({ a: 'ü' }))
    expect(await transportOf().request({ ...GET, path: '/x?limit=1' }, running.signal)).toBe('{"a":"ü"}')
    expect(fake.requests[0]).toMatchObject({ httpVersion: '1.1', path: '/x' })
  })

  test('reads what a proxy has packed', async () => {
    fake.script('GET', '/x', json({ a: 1 }, { gzip: true }))
    expect(await transportOf().request(GET, running.signal)).toBe('{"a":1}')
  })

  test('fault 7: is refused with the code, the reason and the message of the Status', async () => {
    for (const code of [403, 404, 409, 422, 500, 504]) {
      fake.script('GET', '/x', failure(code, 'Why', 'because'))
      await expect(transportOf().request(GET, running.signal)).rejects.toMatchObject({
        ...{ name: 'ApiError', code, reason: 'Why', message: 'because' },
      })
    }
    expect(count()).toBe(6)
  })

  test('fault 7: is refused without quoting a page that is no Status', async () => {
    fake.script('GET', '/x', raw('<html>secret</html>', { status: 502 }))
    const error = await transportOf()
      .request(GET, running.signal)
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 502, reason: 'Unknown', message: 'the API server answered HTTP 502' })
  })

  test('goes below the path of the server, as that of a gateway to many clusters', async () => {
    fake.script('GET', '/clusters/one/x', json({}))
    fake.script('GET', '/clusters/one/w', stream(['line\n']))
    const transport = transportOf({ server: `${fake.url}/clusters/one/` })
    expect(await transport.request(GET, running.signal)).toBe('{}')
    expect((await readAll(await transport.stream({ path: '/w' }, running.signal))).text).toBe('line\n')
  })

  test('follows no redirect', async () => {
    fake.script('GET', '/x', raw('', { status: 302, headers: { location: '/elsewhere' } }))
    await expect(transportOf().request(GET, running.signal)).rejects.toMatchObject({ code: 302 })
    expect(count('/elsewhere')).toBe(0)
  })

  test('ends when the answer is longer than 16 MiB', async () => {
    const piece = Buffer.alloc(1024 * 1024)
    fake.script('GET', '/x', stream(Array(17).fill(piece)))
    await expect(transportOf().request(GET, running.signal)).rejects.toMatchObject({ code: 0, reason: 'TooLarge' })
  })

  test('fault 7: after 429 is sent again when the server says, be it a POST', async () => {
    const clock = createVirtualClock()
    fake.script('POST', '/x', tooManyRequests(7), json({}))
    const done = transportOf({}, { clock }).request(POST, running.signal)
    await clock.scheduled(7000)
    expect(count()).toBe(1)
    clock.advance(7000)
    expect(await done).toBe('{}')
  })

  test('fault 7: after 429 is not held back beyond its deadline', async () => {
    fake.script('GET', '/x', tooManyRequests(31))
    await expect(transportOf().request(GET, running.signal)).rejects.toMatchObject({ code: 429, retryAfterMs: 31_000 })
  })

  test('fault 7: is sent again after a lost connection when it is repeatable, and only then', async () => {
    fake.script('GET', '/x', cut(), cut(), json({ a: 1 }))
    fake.script('POST', '/x', cut(), json({ a: 2 }))
    expect(await transportOf().request(GET, running.signal)).toBe('{"a":1}')
    const post = transportOf().request(POST, running.signal)
    await expect(post).rejects.toMatchObject({ code: 0, reason: 'ConnectionLost' })
    expect(fake.requests.filter(({ method }) => method === 'POST')).toHaveLength(1)
  })

  test('says so when the server cannot be reached, after five attempts', async () => {
    const registry = new Registry()
    const metrics = createRestMetrics(registry, 'fake')
    const config = { server: 'https://127.0.0.1:1', ca: { pem: await readFile(fake.caFile ?? '', 'utf8') } }
    await expect(transportOf(config, { metrics }).request(POST, running.signal)).rejects.toMatchObject({
      ...{ code: 0, reason: 'Unreachable' },
      message: 'the API server 127.0.0.1:1 cannot be reached (ECONNREFUSED)',
    })
    const text = await registry.metrics()
    expect(text).toContain('rest_client_requests_total{code="<error>",method="POST",host="fake"} 5')
    expect(text).toContain('rest_client_request_retries_total{verb="POST",host="fake"} 4')
  })

  test('ends at its deadline when there is no answer', async () => {
    const clock = createVirtualClock()
    fake.script('GET', '/x', hang())
    const done = transportOf({}, { clock }).request({ ...GET, timeoutMs: 1234 }, running.signal)
    await fake.received('GET', '/x')
    clock.advance(1234)
    await expect(done).rejects.toMatchObject({ code: 0, reason: 'Timeout' })
    expect(clock.running()).toBe(0)
  })

  test('ends with the reason of its signal, and with the transport', async () => {
    fake.always('GET', '/x', hang)
    const own = new AbortController()
    const transport = transportOf()
    const requests = [transport.request(GET, own.signal), transport.request(GET, new AbortController().signal)]
    await fake.received('GET', '/x', 2)
    own.abort(new Error('enough'))
    await expect(requests[0]).rejects.toThrow('enough')
    running.abort(new Error('shut down'))
    await expect(requests[1]).rejects.toThrow('shut down')
    await expect(transport.request(GET, own.signal)).rejects.toThrow()
    await until('all connections are closed', () => fake.connections === 0)
  })

  test('is not sent to a server whose certificate is not trusted', async () => {
    const other = await startFakeApiServer()
    const transport = transportOf({ ca: { file: other.caFile ?? '' } })
    await expect(transport.request(GET, running.signal)).rejects.toMatchObject({ code: 0, reason: 'Untrusted' })
    expect(fake.requests).toHaveLength(0)
    await other[Symbol.asyncDispose]()
  })
})

describe('credentials', () => {
  test('that do not come are not waited for, and asked for again', async () => {
    const clock = createVirtualClock()
    const answers = [Promise.withResolvers<never>().promise, Promise.resolve({ tls: {}, headers: {} })]
    const ca = { tls: { ca: await readFile(fake.caFile ?? '', 'utf8') }, headers: {} }
    const read = async () => ({ ...(await answers.shift()), ...ca })
    const transport = transportOf({ credentials: { type: 'source', read } }, { clock })
    const stop = new AbortController()
    const stopped = transport.request(GET, stop.signal)
    const streamed = transport.stream({ path: '/w' }, stop.signal)
    stop.abort(new Error('enough'))
    await expect(stopped).rejects.toThrow('enough')
    await expect(streamed).rejects.toThrow('enough')
    const late = transport.request(GET, running.signal)
    clock.advance(30_000)
    await expect(late).rejects.toMatchObject({ code: 0 })
    fake.script('GET', '/x', json({}))
    expect(await transport.request(GET, running.signal)).toBe('{}')
  })

  const file = () => join(dirname(fake.caFile ?? ''), 'token')
  const authorizations = () => fake.requests.map(({ headers }) => headers.authorization)

  test('fault 18: of a token file are read again once a minute', async () => {
    const clock = createVirtualClock()
    fake.always('GET', '/x', () => json({}))
    await writeFile(file(), 'one\n')
    const transport = transportOf({ credentials: { type: 'tokenFile', file: file() } }, { clock })
    await transport.request(GET, running.signal)
    await writeFile(file(), 'two\n')
    await transport.request(GET, running.signal)
    clock.advance(60_000)
    await transport.request(GET, running.signal)
    expect(authorizations()).toEqual(['Bearer one', 'Bearer one', 'Bearer two'])
  })

  test('fault 9: of a token file are read again after a minute, also when the wall clock was set back', async () => {
    const clock = createVirtualClock()
    fake.always('GET', '/x', () => json({}))
    await writeFile(file(), 'one')
    const transport = transportOf({ credentials: { type: 'tokenFile', file: file() } }, { clock })
    await transport.request(GET, running.signal)
    await writeFile(file(), 'two')
    clock.jump(-3_600_000)
    clock.advance(60_000)
    await transport.request(GET, running.signal)
    expect(authorizations()).toEqual(['Bearer one', 'Bearer two'])
  })

  test('fault 18: of a token file are read again at once on 401, and the request is sent once more', async () => {
    fake.script('POST', '/x', failure(401, 'Unauthorized'), json({}))
    await writeFile(file(), 'one')
    const transport = transportOf({ credentials: { type: 'tokenFile', file: file() } })
    fake.script('GET', '/x', json({}))
    await transport.request(GET, running.signal)
    await writeFile(file(), 'two')
    await transport.request(POST, running.signal)
    expect(authorizations()).toEqual(['Bearer one', 'Bearer one', 'Bearer two'])

    fake.script('GET', '/x', failure(401, 'Unauthorized'))
    await expect(transport.request(GET, running.signal)).rejects.toMatchObject({ code: 401 })
    expect(count()).toBe(4)
  })

  test('fault 18: stay the last good ones while the token file is empty or missing', async () => {
    const clock = createVirtualClock()
    fake.always('GET', '/x', () => json({}))
    await writeFile(file(), 'one')
    const transport = transportOf({ credentials: { type: 'tokenFile', file: file() } }, { clock })
    await transport.request(GET, running.signal)
    await writeFile(file(), '')
    clock.advance(60_000)
    await transport.request(GET, running.signal)
    expect(authorizations()).toEqual(['Bearer one', 'Bearer one'])
  })

  test('that were never there are an error that names the file and not what is in it', async () => {
    const transport = transportOf({ credentials: { type: 'tokenFile', file: file() } })
    await expect(transport.request(GET, running.signal)).rejects.toMatchObject({
      reason: 'CredentialsUnavailable',
      message: `${file()}: the token cannot be read (ENOENT)`,
    })
    await writeFile(file(), 'secret\nsecret')
    const error = await transport.request(GET, running.signal).catch(String)
    expect(error).toContain(`${file()} holds no token`)
    expect(error).not.toContain('secret')
  })

  test('fault 18: an authority that was replaced is read again as soon as the server is not trusted', async () => {
    const ca = join(dirname(fake.caFile ?? ''), 'rotating-ca.crt')
    const old = await startFakeApiServer()
    await writeFile(ca, await readFile(old.caFile ?? ''))
    fake.script('GET', '/x', json({ a: 1 }))
    const transport = transportOf({ ca: { file: ca } })
    await expect(transport.request(GET, running.signal)).rejects.toMatchObject({ reason: 'Untrusted' })
    await writeFile(ca, await readFile(fake.caFile ?? ''))
    expect(await transport.request(GET, running.signal)).toBe('{"a":1}')
    await old[Symbol.asyncDispose]()
  })
})

describe('an authority that is replaced in its file', () => {
  test('fault 18: is taken up within a minute, under load: streams begin again and no request fails', async () => {
    const clock = createVirtualClock()
    const other = await startFakeApiServer()
    const ca = join(dirname(fake.caFile ?? ''), 'bundle.crt')
    const pem = await readFile(fake.caFile ?? '', 'utf8')
    await writeFile(ca, pem)
    const slow = createFeed()
    fake.script('GET', '/slow', stream(slow))
    fake.always('GET', '/x', () => json({}))
    fake.always('GET', '/watch', () => stream(['a'], { after: 'hang' }))
    const transport = transportOf({ ca: { file: ca } }, { clock })
    const read = readAll(await transport.stream({ path: '/watch' }, running.signal))
    const underWay = transport.request({ ...GET, path: '/slow', timeoutMs: 100_000 }, running.signal)
    await fake.received('GET', '/slow')

    await writeFile(ca, `${pem}\n${await readFile(other.caFile ?? '', 'utf8')}`)
    await transport.request(GET, running.signal)
    expect(fake.connections).toBe(3)
    clock.advance(60_000)
    await transport.request(GET, running.signal)
    expect(await read).toMatchObject({ error: { message: 'the certificates for the API server were replaced' } })
    slow.send('done')
    slow.end()
    expect(await underWay).toBe('done')
    await transport.stream({ path: '/watch' }, running.signal)
    await other[Symbol.asyncDispose]()
  })
})

describe('streams', () => {
  test('share one HTTP/2 connection, and up to 90 each', async () => {
    const feed = createFeed()
    fake.always('GET', '/watch', () => stream(feed, { after: 'hang' }))
    const transport = transportOf()
    const open = (many: number) =>
      Promise.all(Array.from({ length: many }, () => transport.stream({ path: '/watch' }, running.signal)))
    await open(90)
    expect(fake.connections).toBe(1)
    expect(fake.requests.every(({ httpVersion }) => httpVersion === '2.0')).toBe(true)
    await open(91)
    expect(fake.connections).toBe(3)
  })

  test('fault 3: end when the heartbeat on their connection is not answered in time', async () => {
    const clock = createVirtualClock()
    fake.always('GET', '/watch', () => stream(['a'], { after: 'hang' }))
    fake.script('GET', '/livez', json('ok'), hang())
    const transport = transportOf({}, { clock })
    const read = readAll(await transport.stream({ path: '/watch' }, running.signal))
    clock.advance(4000)
    await fake.received('GET', '/livez')
    await clock.scheduled(4000)
    clock.advance(4000)
    await fake.received('GET', '/livez', 2)
    clock.advance(5000)
    expect(await read).toMatchObject({
      text: 'a',
      error: { code: 0, reason: 'ConnectionLost', message: expect.stringContaining('no sign of life') },
    })
  })

  test('fault 3: live on when a heartbeat is refused, which is an answer too', async () => {
    const clock = createVirtualClock()
    const feed = createFeed()
    fake.script('GET', '/watch', stream(feed))
    fake.always('GET', '/livez', () => failure(403, 'Forbidden'))
    const transport = transportOf({}, { clock })
    const read = readAll(await transport.stream({ path: '/watch' }, running.signal))
    for (let beat = 1; beat <= 3; beat++) {
      await clock.scheduled(4000)
      clock.advance(4000)
      await fake.received('GET', '/livez', beat)
      await until('the heartbeat was heard', () => clock.running() === 1)
    }
    feed.send('still here')
    feed.end()
    expect(await read).toEqual({ text: 'still here' })
  })

  test('of a refused request are an ApiError', async () => {
    fake.script('GET', '/watch', failure(410, 'Expired', 'too old'))
    const opened = transportOf().stream({ path: '/watch' }, running.signal)
    await expect(opened).rejects.toMatchObject({ code: 410, reason: 'Expired', message: 'too old' })
  })

  test('end with an error when the connection is cut, and with the reason of their signal', async () => {
    fake.script('GET', '/watch', stream(['half a li'], { after: 'cut' }), stream(['a'], { after: 'hang' }))
    const transport = transportOf()
    const lost = await readAll(await transport.stream({ path: '/watch' }, running.signal))
    expect(lost).toMatchObject({ text: 'half a li', error: { reason: 'ConnectionLost' } })

    const own = new AbortController()
    const read = readAll(await transport.stream({ path: '/watch' }, own.signal))
    own.abort(new Error('enough'))
    expect(await read).toMatchObject({ error: { message: 'enough' } })
  })

  test('have a connection each where the server does not speak HTTP/2', async () => {
    const plain = await startFakeApiServer({ tls: false })
    plain.always('GET', '/watch', () => stream(['a'], { after: 'hang' }))
    const transport = createTransport(
      { server: plain.url, credentials: { type: 'anonymous' } },
      { signal: running.signal },
    )
    await Promise.all([1, 2, 3].map(() => transport.stream({ path: '/watch' }, running.signal)))
    expect(plain.connections).toBe(3)
    await plain[Symbol.asyncDispose]()
  })

  test('have a connection each also over TLS without HTTP/2', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'midflight-transport-'))
    const authority = await createAuthority(folder)
    const { certFile, keyFile } = await authority.server('http1')
    const files = { cert: await readFile(certFile), key: await readFile(keyFile) }
    const sockets = new Set<string>()
    const server = createServer(files, (request, response) => {
      sockets.add(`${request.socket.remotePort} ${request.httpVersion}`)
      response.write('a')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const transport = transportOf({ server: `https://127.0.0.1:${port}`, ca: { file: authority.caFile } })
    await Promise.all([1, 2, 3].map(() => transport.stream({ path: '/watch' }, running.signal)))
    expect([...sockets].map((socket) => socket.split(' ')[1])).toEqual(['1.1', '1.1', '1.1'])
    server.close()
    server.closeAllConnections()
    await rm(folder, { recursive: true })
  })

  test('are unpacked as they come', async () => {
    const feed = createFeed()
    fake.script('GET', '/watch', stream(feed, { gzip: true }))
    const chunks = await transportOf().stream({ path: '/watch' }, running.signal)
    feed.send('first\n')
    const iterator = chunks[Symbol.asyncIterator]()
    const first = await iterator.next()
    expect(Buffer.from(first.value ?? []).toString()).toBe('first\n')
    feed.end()
    expect((await iterator.next()).done).toBe(true)
  })
})

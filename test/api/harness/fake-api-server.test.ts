import { readFileSync } from 'node:fs'
import { type ClientHttp2Session, connect } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  createFeed,
  cut,
  drip,
  expired,
  expiredLine,
  failure,
  hang,
  json,
  raw,
  splitInside,
  stream,
  tooManyRequests,
  watchLine,
} from './fake-answers.ts'
import { type FakeApiServer, startFakeApiServer } from './fake-api-server.ts'
import { until } from './until.ts'

/** An answer as it arrives. */
type Seen = {
  status: number | undefined
  headers: Readonly<Record<string, unknown>>
  readonly pieces: Buffer[]
  end: 'open' | 'end' | 'error'
}
type Get = (path: string) => Seen

const textOf = (seen: Seen) => Buffer.concat(seen.pieces).toString()
const ended = (seen: Seen) => until('the answer ends', () => seen.end !== 'open')

let fake: FakeApiServer
let session: ClientHttp2Session | undefined
beforeEach(async () => {
  fake = await startFakeApiServer()
})
afterEach(async () => {
  session?.destroy()
  session = undefined
  await fake[Symbol.asyncDispose]()
})

function http1(path: string): Seen {
  const seen: Seen = { status: undefined, headers: {}, pieces: [], end: 'open' }
  const ca = readFileSync(fake.caFile ?? '')
  const sent = httpsRequest(new URL(path, fake.url), { ca, agent: false }, (answer) => {
    seen.status = answer.statusCode
    seen.headers = answer.headers
    answer.on('data', (piece: Buffer) => seen.pieces.push(piece))
    answer.on('end', () => {
      seen.end = 'end'
    })
    answer.on('error', () => {
      seen.end = 'error'
    })
  })
  sent.on('error', () => {
    seen.end = 'error'
  })
  sent.end()
  return seen
}

function http2(path: string): Seen {
  const seen: Seen = { status: undefined, headers: {}, pieces: [], end: 'open' }
  session ??= connect(fake.url, { ca: readFileSync(fake.caFile ?? '') })
  const sent = session.request({ ':path': path })
  sent.on('response', (headers) => {
    seen.status = headers[':status']
    seen.headers = headers
  })
  sent.on('data', (piece: Buffer) => seen.pieces.push(piece))
  sent.on('error', () => undefined)
  // A stream whose connection is gone ends without an error.
  sent.on('close', () => {
    seen.end = sent.rstCode === 0 && seen.status !== undefined ? 'end' : 'error'
  })
  return seen
}

describe.each<[string, Get, '1.1' | '2.0']>([
  ['HTTP/1.1', http1, '1.1'],
  ['HTTP/2', http2, '2.0'],
])('a fake API server over %s', (_name, get, httpVersion) => {
  const answered = async (path: string) => {
    const seen = get(path)
    await ended(seen)
    return seen
  }

  test('gives scripted answers in their order, by method and path, and records what was asked', async () => {
    fake.script('GET', '/api/v1/pods', json({ n: 1 }), failure(503, 'ServiceUnavailable'))
    fake.script('GET', /^\/apis\//, raw('<html>', { status: 504, headers: { 'content-type': 'text/html' } }))
    expect(JSON.parse(textOf(await answered('/api/v1/pods?limit=5')))).toEqual({ n: 1 })
    expect(await answered('/apis/midflight.dev/v1alpha1/agents')).toMatchObject({ status: 504 })
    expect(await answered('/api/v1/pods')).toMatchObject({ status: 503, end: 'end' })
    expect(await answered('/api/v1/pods')).toMatchObject({ status: 501 })
    expect(fake.requests.map(({ path }) => path)).toEqual([
      '/api/v1/pods',
      '/apis/midflight.dev/v1alpha1/agents',
      '/api/v1/pods',
      '/api/v1/pods',
    ])
    expect(fake.requests[0]).toMatchObject({ method: 'GET', httpVersion, body: '' })
    expect(fake.requests[0]?.query.get('limit')).toBe('5')
    expect((await fake.received('GET', '/api/v1/pods', 2)).query.size).toBe(0)
  })

  test('falls back to a lasting answer', async () => {
    fake.always('GET', '/x', ({ query }) => json({ you: query.get('n') }))
    fake.script('GET', '/x', tooManyRequests(2))
    expect(await answered('/x')).toMatchObject({ status: 429, headers: { 'retry-after': '2' } })
    expect(textOf(await answered('/x?n=1'))).toBe('{"you":"1"}')
    expect(textOf(await answered('/x?n=2'))).toBe('{"you":"2"}')
  })

  test('says 410 in both shapes', async () => {
    fake.script('GET', '/x', expired(), stream([expiredLine()]))
    const whole = await answered('/x')
    expect([whole.status, JSON.parse(textOf(whole)).reason]).toEqual([410, 'Expired'])
    const inStream = await answered('/x')
    expect(inStream.status).toBe(200)
    expect(JSON.parse(textOf(inStream))).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } })
  })

  test('streams what a test gives it while it runs', async () => {
    const feed = createFeed()
    fake.script('GET', '/x', stream(feed))
    const seen = get('/x')
    await until('the headers are there', () => seen.status === 200)
    expect(seen.pieces).toEqual([])
    feed.send(watchLine('ADDED', { a: 1 }))
    await until('the first line', () => textOf(seen) === '{"type":"ADDED","object":{"a":1}}\n')
    feed.send(watchLine('BOOKMARK', {}))
    await until('the second line', () => textOf(seen).endsWith('{"type":"BOOKMARK","object":{}}\n'))
    feed.end()
    await ended(seen)
    expect(seen.end).toBe('end')
  })

  test('splits a character over two pieces', async () => {
    const feed = createFeed()
    const [before, after] = splitInside('price: 5 €\n', '€')
    fake.script('GET', '/x', stream(feed))
    const seen = get('/x')
    feed.send(before)
    await until('the first piece', () => seen.pieces.length === 1)
    expect(textOf(seen)).toContain('\ufffd')
    feed.send(after)
    feed.end()
    await ended(seen)
    expect(seen.pieces).toHaveLength(2)
    expect(textOf(seen)).toBe('price: 5 €\n')
  })

  test('cuts in the middle of a line', async () => {
    fake.script('GET', '/x', stream(['{"type":"ADD'], { after: 'cut' }))
    const seen = await answered('/x')
    expect([seen.status, textOf(seen), seen.end]).toEqual([200, '{"type":"ADD', 'error'])
  })

  test('cuts before an answer', async () => {
    fake.script('GET', '/x', cut())
    expect(await answered('/x')).toMatchObject({ status: undefined, end: 'error' })
  })

  test('hangs before an answer, and in the middle of one', async () => {
    fake.script('GET', '/x', hang(), stream(['half'], { after: 'hang' }))
    const silent = get('/x')
    await fake.received('GET', '/x')
    const half = get('/x')
    await until('the half is there', () => textOf(half) === 'half')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([silent.status, silent.end, half.end]).toEqual([undefined, 'open', 'open'])
  })

  test('drips', async () => {
    fake.script('GET', '/x', stream(drip('drops', 15)))
    const started = performance.now()
    const seen = await answered('/x')
    expect(performance.now() - started).toBeGreaterThanOrEqual(60)
    expect([textOf(seen), seen.pieces.length]).toEqual(['drops', 5])
  })

  test('compresses whole answers and streams', async () => {
    const feed = createFeed()
    fake.script('GET', '/x', json({ a: 1 }, { gzip: true }), stream(feed, { gzip: true }))
    const whole = await answered('/x')
    expect(whole.headers['content-encoding']).toBe('gzip')
    expect(gunzipSync(Buffer.concat(whole.pieces)).toString()).toBe('{"a":1}')
    const seen = get('/x')
    feed.send('one\n')
    await until('a flushed piece', () => seen.pieces.length === 1)
    feed.send('two\n')
    feed.end()
    await ended(seen)
    expect(gunzipSync(Buffer.concat(seen.pieces)).toString()).toBe('one\ntwo\n')
  })

  test('ends what is open when it is disposed', async () => {
    fake.script('GET', '/x', hang())
    const seen = get('/x')
    await fake.received('GET', '/x')
    expect(fake.connections).toBe(1)
    await fake[Symbol.asyncDispose]()
    await ended(seen)
    expect(seen.end).toBe('error')
  })
})

test('a fake API server without TLS records bodies and headers', async () => {
  await using plain = await startFakeApiServer({ tls: false })
  plain.script('PATCH', '/x', json({ ok: true }, { status: 201, headers: { 'x-one': '1' } }))
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${plain.url}/x?dryRun=All`, { method: 'PATCH', body: '{"a":1}', headers })
  expect([answer.status, answer.headers.get('x-one'), await answer.json()]).toEqual([201, '1', { ok: true }])
  expect(plain.requests[0]).toMatchObject({ body: '{"a":1}', headers })
})

import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { managementOpenApi, type RuntimeEvent, runtimeState } from '../../../api/index.ts'
import { agent, push, request, settings, V1 } from '../../registry/registry.fixture.ts'
import { startManagement, TOKEN } from './management.fixture.ts'

describe('the token', () => {
  const CALLS = [
    ['GET', 'state'],
    ['POST', 'apply'],
    ['GET', 'events'],
    ['GET', 'openapi.json'],
    ['GET', 'nothing'],
  ] as const

  test.each([
    ['none', {}],
    ['a wrong one', { authorization: 'Bearer wrong' }],
    ['an empty one', { authorization: 'Bearer ' }],
    ['the right one as a password', { authorization: `Basic ${TOKEN}` }],
  ])('with %s nothing is answered but 401', async (_what, headers) => {
    await using server = await startManagement()
    for (const [method, path] of CALLS) {
      const answer = await fetch(`${server.url}/management/v1/${path}`, {
        method,
        headers: headers as Record<string, string>,
      })
      expect([path, answer.status, answer.headers.get('www-authenticate')]).toEqual([path, 401, 'Bearer'])
      const body = (await answer.json()) as object
      expect(Object.keys(body)).toEqual(['reason', 'message'])
      expect(body).toMatchObject({ reason: 'Unauthorized' })
      expect(JSON.stringify(body)).not.toContain(TOKEN)
    }
  })
})

describe('GET state', () => {
  test('answers the state, with the pod that it runs in', async () => {
    await using server = await startManagement()
    const body = await (await server.get('state')).json()
    const { credentials: _, ...state } = runtimeState.parse(body)
    expect(state).toEqual(JSON.parse(JSON.stringify(server.registry.state())))
    expect(body).toMatchObject({ podUid: 'pod-7', protocol: { min: 1, max: 1 } })
  })

  test('the ETag holds while nothing but stats changes, and changes with the fence, an item or a secret', async () => {
    await using server = await startManagement()
    const etags: string[] = []
    const look = async () => void etags.push((await server.get('state')).headers.get('etag') ?? '')
    await look()
    server.registry.recordRun('d'.repeat(32), false)
    await look()
    await server.registry.apply(request({ fence: 5 }))
    await look()
    await server.registry.apply(request({ fence: 5, definitions: [agent('a')] }))
    await look()
    await server.registry.apply(request({ fence: 5, secrets: { 'a/b': { version: '1', value: 'x' } } }))
    await look()
    const [first, second, ...rest] = etags
    expect(second).toBe(first)
    expect(new Set([first, ...rest]).size).toBe(4)
    const again = await server.get('state', { 'if-none-match': `"other", ${etags.at(-1)}` })
    expect([again.status, await again.text()]).toEqual([304, ''])
    expect((await server.get('state', { 'if-none-match': first ?? '' })).status).toBe(200)
  })

  test('a long state goes packed to who takes that, and holds the stats of now', async () => {
    await using server = await startManagement()
    const many = Array.from({ length: 300 }, (_, index) => agent(`a${index}`))
    await server.registry.apply(request({ definitions: [settings(), ...many] }))
    for (const runs of [1, 2]) {
      server.registry.recordRun('d'.repeat(32), false)
      const raw = await rawGet(`${server.url}/management/v1/state`, { 'accept-encoding': 'gzip' })
      expect(raw.encoding).toBe('gzip')
      const { credentials: _, ...state } = JSON.parse(gunzipSync(raw.body).toString())
      expect(state).toEqual(JSON.parse(JSON.stringify(server.registry.state())))
      expect(state.stats['d'.repeat(32)]?.runs).toBe(runs)
    }
    const plain = await rawGet(`${server.url}/management/v1/state`, { 'accept-encoding': 'identity' })
    expect(plain.encoding).toBeUndefined()
  })
})

/** Fetch unpacks by itself; this tells what went over the wire. */
function rawGet(url: string, headers: Record<string, string>): Promise<{ encoding: string | undefined; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(url, { headers: { authorization: `Bearer ${TOKEN}`, ...headers } }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => resolve({ encoding: answer.headers['content-encoding'], body: Buffer.concat(chunks) }))
    })
    asked.on('error', reject).end()
  })
}

describe('POST apply', () => {
  test('takes items one by one and answers with one result each', async () => {
    await using server = await startManagement()
    const body = request({ definitions: [settings(), agent('a')], bundles: { files: push(V1) } })
    const bad = { owner: 'operator', revision: '0'.repeat(32), definition: { kind: 'Agent' } }
    const answer = await server.post({ ...body, items: { ...body.items, 'agents/bad': bad } })
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({
      snapshot: 'boot/1',
      complete: false,
      items: {
        settings: { outcome: 'activated' },
        'agents/a': { outcome: 'activated' },
        'agents/bad': { outcome: 'rejected' },
      },
      bundles: { files: { outcome: 'activated' } },
    })
  })

  test('takes a packed body', async () => {
    await using server = await startManagement()
    const packed = gzipSync(JSON.stringify(request({ definitions: [settings(), agent('a')] })))
    expect((await server.post(packed, { 'content-encoding': 'gzip' })).status).toBe(200)
    expect(server.registry.current.agents.has('a')).toBe(true)
  })

  const good = () => JSON.parse(JSON.stringify(request({})))
  const deep = `${'['.repeat(200)}${']'.repeat(200)}`
  test.each<[string, { body: unknown; headers?: Record<string, string> }, number, object]>([
    ['no JSON', { body: '{"fence":' }, 400, { reason: 'InvalidArguments', message: 'the body is not valid JSON' }],
    ['another type', { body: 'a=b', headers: { 'content-type': 'text/plain' } }, 415, { reason: 'InvalidArguments' }],
    ['an unknown encoding', { body: 'x', headers: { 'content-encoding': 'zip' } }, 415, { reason: 'InvalidArguments' }],
    [
      'no fence',
      { body: { ...good(), fence: undefined } },
      422,
      { reason: 'InvalidSpec', message: 'fence: is required' },
    ],
    ['an unknown field', { body: { ...good(), colour: 1 } }, 422, { reason: 'UnknownField', path: 'colour' }],
    ['an id that is none', { body: { ...good(), items: { x: {} } } }, 422, { reason: 'InvalidSpec', path: 'items.x' }],
    ['a bad hash', { body: { ...good(), pins: { files: 'x' } } }, 422, { reason: 'InvalidSpec', path: 'pins.files' }],
    ['a list', { body: [] }, 422, { reason: 'InvalidSpec' }],
    ['deep nesting', { body: `{"items":${deep}}` }, 422, { reason: 'InvalidArguments' }],
    ['another process', { body: { ...good(), target: { bootId: 'x' } } }, 409, { reason: 'WrongTarget' }],
    ['another snapshot', { body: { ...good(), ifSnapshot: 'x' } }, 412, { reason: 'SnapshotMoved' }],
  ])('%s is refused whole, with the field', async (_what, { body, headers }, status, expected) => {
    await using server = await startManagement()
    const before = server.registry.state()
    const answer = await server.post(body, headers)
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject(expected)
    expect(server.registry.state()).toEqual(before)
    expect(server.logged()).toBe('')
  })

  test('a body of more than 16 MiB is refused, also when it is packed', async () => {
    await using server = await startManagement()
    const large = JSON.stringify({ ...good(), claim: 'x'.repeat(16 * 1024 * 1024) })
    const answers = [await server.post(large), await server.post(gzipSync(large), { 'content-encoding': 'gzip' })]
    for (const answer of answers) {
      expect(answer.status).toBe(413)
      expect(await answer.json()).toMatchObject({ message: 'the body is larger than 16 MiB: send it in chunks' })
    }
  })

  test('a process that restarts between the chunks of a sync refuses the rest', async () => {
    await using before = await startManagement({ bootId: 'before' })
    const target = { bootId: 'before' }
    expect((await before.post({ ...good(), target, items: {} })).status).toBe(200)
    await using after = await startManagement({ bootId: 'after' })
    const last = await after.post({ ...good(), target, complete: { expected: 0 } })
    expect([last.status, await last.json()]).toEqual([409, expect.objectContaining({ reason: 'WrongTarget' })])
    expect(after.registry.state()).toMatchObject({ complete: false, fence: 0 })
  })

  test('an error nobody expected is told without its text, and logged', async () => {
    await using server = await startManagement()
    server.registry.apply = () => Promise.reject(new TypeError('inner detail'))
    const answer = await server.post(good())
    expect([answer.status, await answer.text()]).toEqual([500, expect.not.stringContaining('inner detail')])
    expect(server.logged()).toContain('inner detail')
  })
})

describe('paths', () => {
  test('of another version are 404 and name the versions spoken', async () => {
    await using server = await startManagement()
    const answer = await server.get('../v2/state')
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ reason: 'ProtocolMismatch', protocol: { min: 1, max: 1 } })
  })

  test('that are unknown are 404, and another method is 405', async () => {
    await using server = await startManagement()
    expect((await server.get('nothing')).status).toBe(404)
    const answer = await server.get('apply')
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST'])
    const headers = { authorization: `Bearer ${TOKEN}` }
    expect((await fetch(`${server.url}/management/v1/events`, { method: 'HEAD', headers })).status).toBe(405)
  })

  test('openapi.json is the document', async () => {
    await using server = await startManagement()
    expect(await (await server.get('openapi.json')).json()).toEqual(JSON.parse(JSON.stringify(managementOpenApi())))
  })
})

describe('GET events', () => {
  test('streams events with their ids and types, after Last-Event-ID', async () => {
    await using server = await startManagement()
    await server.registry.apply(request({ definitions: [settings(), agent('a'), agent('b')] }))
    const answer = await server.get('events', { 'last-event-id': 'boot/1' })
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const text = await readUntil(answer, (seen) => seen.includes('agents/b'))
    const active = server.registry.state().items['agents/a']
    const data = JSON.stringify({ type: 'activated', item: 'agents/a', state: active, id: 'boot/2' })
    expect(text).toContain(`id: boot/2\nevent: activated\ndata: ${data}\n\nid: boot/3\nevent: activated\n`)
    expect(text).not.toContain('boot/1\n')
  })

  test('an unknown id yields reset', async () => {
    await using server = await startManagement()
    const text = await readUntil(await server.get('events', { 'last-event-id': 'x/1' }), (seen) =>
      seen.includes('\n\n'),
    )
    expect(text).toContain('event: reset\ndata: {"id":"boot/0","type":"reset"}')
  })

  test('a silent stream carries comments', async () => {
    await using server = await startManagement({ timing: { heartbeatMs: 20 } })
    expect(await readUntil(await server.get('events'), (seen) => seen.includes(':'))).toContain(': heartbeat\n\n')
  })

  test('end when the server stops', async () => {
    const server = await startManagement()
    const answer = await server.get('events')
    const ended = answer.text()
    await server.stop()
    expect(await ended).toBe('')
  })

  test('a reader that takes nothing is cut, and holds up nobody', async () => {
    await using server = await startManagement({ timing: { stalledMs: 100 } })
    const cut = Promise.withResolvers<void>()
    server.registry.events = async function* (signal): AsyncGenerator<RuntimeEvent> {
      try {
        while (!signal.aborted) yield { id: 'x'.repeat(100_000), type: 'reset' }
      } finally {
        cut.resolve()
      }
    }
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(`GET /management/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`)
    await new Promise<void>((resolve) => socket.once('data', () => resolve()))
    socket.pause()
    expect((await server.get('state')).status).toBe(200)
    await cut.promise
    socket.destroy()
  })
})

/** What a stream sends until it is enough; then the stream is left. */
async function readUntil(answer: Response, isEnough: (seen: string) => boolean): Promise<string> {
  const decoder = new TextDecoder()
  let seen = ''
  for await (const chunk of answer.body ?? []) {
    seen += decoder.decode(chunk, { stream: true })
    if (isEnough(seen)) return seen
  }
  return seen
}

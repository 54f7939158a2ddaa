import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { ProblemError } from '../../../api/index.ts'
import { MemoryRegistry, memoryBundle, startServer, type TestServer } from '../server.fixture.ts'

const calls: string[] = []
const waiting = { started: Promise.withResolvers<void>(), aborted: Promise.withResolvers<void>() }

const first = memoryBundle('first', {
  weather: async ({ city }) => ({ sky: 'clear', city: city ?? null }),
  fails: async () => {
    throw new ProblemError({ reason: 'ToolFailed', message: 'tool "fails": no luck' })
  },
  waits: (_args, { signal }) => {
    waiting.started.resolve()
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        waiting.aborted.resolve()
        reject(signal.reason)
      })
    })
  },
})
const second = memoryBundle('second', { weather: async () => 'rain' })

let server: TestServer
beforeAll(async () => {
  const registry = new MemoryRegistry({ bundles: [second, first] })
  const onToolCall = (tool: { bundle: string; name: string }, result: string) =>
    void calls.push(`${tool.bundle}/${tool.name} ${result}`)
  server = await startServer({ registry, onToolCall })
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(() => {
  calls.length = 0
})

async function call(path: string, body?: unknown) {
  const headers = { 'Content-Type': 'application/json' }
  const json = body === undefined ? {} : { headers, body: JSON.stringify(body) }
  const response = await fetch(`${server.url}${path}`, { method: 'POST', ...json })
  return { status: response.status, body: await response.json() }
}

test('a tool is called with its arguments, by bundle and name', async () => {
  expect(await call('/tools/first/weather/call', { arguments: { city: 'Paris' } })).toEqual({
    status: 200,
    body: { tool: 'weather', bundle: 'first', bundle_hash: first.hash, result: { sky: 'clear', city: 'Paris' } },
  })
  expect(calls).toEqual(['first/weather ok'])
})

test('without a body the arguments are empty', async () => {
  expect((await call('/tools/first/weather/call')).body).toMatchObject({ result: { city: null } })
})

test('a bare name is the tool that serves it', async () => {
  const tool = server.registry.current.tools.get('weather')
  expect((await call('/tools/weather/call', {})).body).toMatchObject({ bundle: tool?.bundle.name })
})

test('a tool that is not there is 404', async () => {
  for (const path of [
    '/tools/none/call',
    '/tools/first/none/call',
    '/tools/__proto__/call',
    '/tools/none/weather/call',
  ]) {
    expect(await call(path, {})).toEqual({ status: 404, body: { detail: 'Tool not found' } })
  }
  expect(calls).toEqual([])
})

test('a body that is not {arguments} is 422 naming the field', async () => {
  expect(await call('/tools/weather/call', { city: 'Paris' })).toMatchObject({
    status: 422,
    body: { detail: 'unknown field city' },
  })
  expect(await call('/tools/weather/call', { arguments: [] })).toMatchObject({ status: 422 })
})

test('a body that is nested too deep is 422, not a crash', async () => {
  const nested = `{"arguments":{"x":${'['.repeat(3000)}${']'.repeat(3000)}}}`
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${server.url}/tools/weather/call`, { method: 'POST', headers, body: nested })
  expect([response.status, await response.json()]).toEqual([
    422,
    { detail: 'The body is nested deeper than 100 levels' },
  ])
})

test('a failure is answered with the status of its reason and counted', async () => {
  expect(await call('/tools/fails/call', {})).toEqual({
    status: 502,
    body: { detail: 'tool "fails": no luck', error_code: 'ToolFailed' },
  })
  expect(calls).toEqual(['first/fails error'])
})

test('a client that leaves aborts its call, and the snapshot is let go', async () => {
  const leave = new AbortController()
  const answer = fetch(`${server.url}/tools/waits/call`, { method: 'POST', signal: leave.signal }).catch(
    () => undefined,
  )
  await waiting.started.promise
  leave.abort()
  await waiting.aborted.promise
  await answer
  await call('/tools/weather/call', {})
  expect(server.registry.pinned).toBe(0)
})

test('GET /tools lists every tool once, with its schema', async () => {
  const tools = (await (await fetch(`${server.url}/tools`)).json()) as { bundle: string; name: string }[]
  expect(tools.map(({ bundle, name }) => `${bundle}/${name}`).sort()).toEqual([
    'first/fails',
    'first/waits',
    'first/weather',
    'second/weather',
  ])
  expect(tools[0]).toEqual({
    name: expect.any(String),
    bundle: expect.any(String),
    bundle_hash: expect.any(String),
    description: expect.any(String),
    file: expect.stringMatching(/^tools\//),
    parameters: { type: 'object' },
  })
})

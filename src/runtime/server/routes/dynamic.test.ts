import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { MemoryRegistry, startServer, type TestServer } from '../server.fixture.ts'

const run = promisify(execFile)
const testWithCurl = spawnSync('curl', ['--version']).status === 0 ? test : test.skip

type Answer = { status: number; body: unknown }

async function call(server: TestServer, path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, init)
  return { status: response.status, body: await response.json() }
}

const form = (fields: Record<string, string>): RequestInit => ({ method: 'POST', body: new URLSearchParams(fields) })

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

const addAgent = (server: TestServer, config: unknown): Promise<Answer> =>
  call(server, '/runtime/agents', form({ agent_config: JSON.stringify(config) }))

const stats = async (server: TestServer) =>
  (await call(server, '/runtime/stats')).body as Record<string, { count: number; ids: string[] }>

describe('the calls of the AgentOS document', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /** The document's own command line; only the port is another. */
  const curl = async (line: string): Promise<unknown> => {
    const { stdout } = await run('bash', [
      '-c',
      line.replace('http://localhost:7777', server.url).replace('curl', 'curl -s'),
    ])
    return JSON.parse(stdout)
  }

  testWithCurl('its curl lines add an agent, show statistics, remove the agent and refresh', async () => {
    expect(
      await curl(`curl -X POST "http://localhost:7777/runtime/agents" \\
  -H "Content-Type: application/x-www-form-urlencoded" \\
  -d 'agent_config={"id": "curl-agent", "name": "Curl Agent"}'`),
    ).toEqual({ message: 'Agent curl-agent added successfully' })
    expect(await curl('curl -X GET "http://localhost:7777/runtime/stats"')).toEqual({
      agents: { count: 1, ids: ['curl-agent'] },
      teams: { count: 0, ids: [] },
      workflows: { count: 0, ids: [] },
      databases: { count: 0, ids: [] },
    })
    expect(await curl('curl -X DELETE "http://localhost:7777/runtime/agents/curl-agent"')).toEqual({
      message: 'Agent curl-agent removed successfully',
    })
    expect(await curl('curl -X POST "http://localhost:7777/runtime/refresh"')).toEqual({
      message: 'Routes refreshed successfully',
    })
  })

  test('its httpx call, a form with JSON in one field, adds an agent with name and description', async () => {
    const config = { id: 'api-agent', name: 'API Agent', description: 'Agent added via API' }
    expect(await addAgent(server, config)).toEqual({
      status: 200,
      body: { message: 'Agent api-agent added successfully' },
    })
    expect((await call(server, '/agents/api-agent')).body).toMatchObject({ ...config, owner: 'api' })
  })
})

describe('adding', () => {
  let server: TestServer
  beforeAll(async () => {
    const registry = new MemoryRegistry({ models: ['small', 'large'] })
    registry.declare({ kind: 'Agent', name: 'declared', spec: {} }, 'operator')
    registry.declare({ kind: 'Agent', name: 'local', spec: {} }, 'dev')
    server = await startServer({ registry })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('takes JSON: the config itself, or under the name of the form field', async () => {
    expect((await call(server, '/runtime/agents', json({ id: 'bare' }))).status).toBe(200)
    expect((await call(server, '/runtime/agents', json({ agent_config: { id: 'wrapped' } }))).status).toBe(200)
    expect((await call(server, '/runtime/agents', json({ agent_config: '{"id":"text"}' }))).status).toBe(200)
  })

  test('takes a multipart form', async () => {
    const body = new FormData()
    body.set('agent_config', '{"id":"multipart"}')
    expect((await call(server, '/runtime/agents', { method: 'POST', body })).status).toBe(200)
  })

  test('takes any field of the spec, and makes a team and a workflow of what was added', async () => {
    await call(server, '/runtime/agents', json({ id: 'writer', instructions: 'Write.', model: 'large', maxSteps: 3 }))
    const team = await call(server, '/runtime/teams', json({ id: 'desk', members: [{ agent: 'writer' }] }))
    expect(team).toEqual({ status: 200, body: { message: 'Team desk added successfully' } })
    const flow = { id: 'publish', steps: [{ name: 'draft', agent: 'writer' }] }
    expect(await call(server, '/runtime/workflows', form({ workflow_config: JSON.stringify(flow) }))).toEqual({
      status: 200,
      body: { message: 'Workflow publish added successfully' },
    })
    expect((await call(server, '/agents/writer')).body).toMatchObject({
      instructions: 'Write.',
      model: { name: 'large' },
    })
  })

  test('a minimal agent gets the first model of a runtime that has none called default', async () => {
    await addAgent(server, { id: 'minimal' })
    expect((await call(server, '/agents/minimal')).body).toMatchObject({ name: 'minimal', model: { name: 'small' } })
  })

  test('an agent that waits for its model counts as added', async () => {
    expect((await addAgent(server, { id: 'waiting', model: 'later' })).status).toBe(200)
  })

  test('an id that exists is 400', async () => {
    await addAgent(server, { id: 'twice' })
    expect(await addAgent(server, { id: 'twice' })).toEqual({
      status: 400,
      body: { detail: 'Agent with ID twice already exists' },
    })
    expect((await addAgent(server, { id: 'local' })).body).toEqual({ detail: 'Agent with ID local already exists' })
  })

  test('an id that the operator owns is 409', async () => {
    expect(await addAgent(server, { id: 'declared' })).toEqual({
      status: 409,
      body: { detail: 'Agent declared is owned by operator' },
    })
  })

  const field = (config: unknown) => form({ agent_config: JSON.stringify(config) })
  test.each<[string, RequestInit, number, string]>([
    ['a config without an id', field({ name: 'x' }), 400, 'Agent ID is required'],
    ['an empty id', field({ id: '' }), 400, 'Agent ID is required'],
    ['an empty JSON body', json({}), 400, 'Agent ID is required'],
    ['a field that is not JSON', form({ agent_config: '{"id":' }), 400, 'agent_config is not valid JSON'],
    ['a body that is not JSON', json('{"id":'), 400, 'The body is not valid JSON'],
    ['a field that is not an object', form({ agent_config: '[]' }), 422, 'agent_config must be a JSON object'],
    ['a JSON list', json('[]'), 422, 'agent_config must be a JSON object'],
    ['a form without the field', form({ other: '1' }), 422, 'unknown field other'],
    ['no body', { method: 'POST' }, 422, 'agent_config is required'],
    ['another field beside it', form({ agent_config: '{"id":"a"}', x: '1' }), 422, 'unknown field x'],
    ['an unknown field', field({ id: 'a', colour: 'red' }), 422, 'unknown field colour'],
    ['a nested unknown field', field({ id: 'a', limits: { x: 1 } }), 422, 'unknown field limits.x'],
    ['a field named __proto__', form({ agent_config: '{"id":"a","__proto__":{}}' }), 422, 'unknown field __proto__'],
    ['a wrong type', field({ id: 'a', maxSteps: 'many' }), 422, 'maxSteps: '],
    ['an id that is no DNS label', field({ id: 'My Agent' }), 422, 'id: must be a DNS label'],
    ['an id that is no text', field({ id: 7 }), 422, 'id: '],
    ['a name that is no text', field({ id: 'a', name: {} }), 422, 'name: '],
    ['text/plain', { method: 'POST', body: 'agent_config={}' }, 415, 'Content-Type must be'],
  ])('%s is refused', async (_what, init, status, detail) => {
    const answer = await call(server, '/runtime/agents', init)
    expect(answer).toEqual({ status, body: expect.objectContaining({ detail: expect.stringContaining(detail) }) })
    expect(server.registry.ownerOf('agents', 'a')).toBeUndefined()
  })

  test('a team without members and a workflow without steps are refused by the field that is missing', async () => {
    const team = await call(server, '/runtime/teams', json({ id: 'empty' }))
    const flow = await call(server, '/runtime/workflows', json({ id: 'empty' }))
    expect(team).toEqual({
      status: 422,
      body: expect.objectContaining({ detail: expect.stringMatching(/^members: /) }),
    })
    expect(flow).toEqual({ status: 422, body: expect.objectContaining({ detail: expect.stringMatching(/^steps: /) }) })
  })
})

describe('concurrent adds', () => {
  test('1 and 3 times 3 at once make 10', async () => {
    await using server = await startServer()
    await addAgent(server, { id: 'initial' })
    const ids = [0, 1, 2].flatMap((thread) => [0, 1, 2].map((n) => `agent-${thread}-${n}`))
    const answers = await Promise.all(ids.map((id) => addAgent(server, { id })))
    expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 200))
    expect((await stats(server)).agents?.count).toBe(10)
  })

  test('of one id have exactly one success', async () => {
    await using server = await startServer()
    const answers = await Promise.all(Array.from({ length: 20 }, () => addAgent(server, { id: 'same' })))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(19)
  })
})

describe('removing', () => {
  test('an unknown id is 404, also one that every object has', async () => {
    await using server = await startServer()
    for (const id of ['nobody', '__proto__', 'constructor', 'toString']) {
      expect(await call(server, `/runtime/agents/${id}`, { method: 'DELETE' })).toEqual({
        status: 404,
        body: { detail: `Agent ${id} not found` },
      })
    }
  })

  test('what the operator or dev mode owns is 409', async () => {
    const registry = new MemoryRegistry()
    registry.declare({ kind: 'Agent', name: 'declared', spec: {} }, 'operator')
    registry.declare({ kind: 'Agent', name: 'local', spec: {} }, 'dev')
    await using server = await startServer({ registry })
    const remove = (id: string) => call(server, `/runtime/agents/${id}`, { method: 'DELETE' })
    expect(await remove('declared')).toEqual({ status: 409, body: { detail: 'Agent declared is owned by operator' } })
    expect(await remove('local')).toEqual({ status: 409, body: { detail: 'Agent local is owned by dev' } })
  })

  test('a member of a team stays, with the reason', async () => {
    await using server = await startServer()
    await addAgent(server, { id: 'writer' })
    await call(server, '/runtime/teams', json({ id: 'desk', members: [{ agent: 'writer' }] }))
    expect(await call(server, '/runtime/agents/writer', { method: 'DELETE' })).toEqual({
      status: 409,
      body: { detail: 'writer is a member of team desk', error_code: 'StillReferenced' },
    })
  })

  test('ends the runs of the removed item with RunCancelled before it answers', async () => {
    await using server = await startServer()
    await addAgent(server, { id: 'busy' })
    const started = Promise.withResolvers<void>()
    server.runs.behaviours.set('busy', (_request, _say, signal) => {
      started.resolve()
      return new Promise((_resolve, reject) => signal.addEventListener('abort', reject))
    })
    const streamed = fetch(`${server.url}/agents/busy/runs`, form({ message: 'hi' })).then((response) =>
      response.text(),
    )
    await started.promise
    expect((await call(server, '/runtime/agents/busy', { method: 'DELETE' })).status).toBe(200)
    expect(server.runs.inFlight()).toBe(0)
    expect(await streamed).toMatch(/event: RunCancelled\ndata: .*"reason":"Agent busy was removed"/)
  })

  test('answers though a run does not end, after a bounded wait', async () => {
    await using server = await startServer({ timing: { cancelWaitMs: 20 } })
    await addAgent(server, { id: 'stuck' })
    server.runs.cancelAll = () => new Promise(() => undefined)
    expect((await call(server, '/runtime/agents/stuck', { method: 'DELETE' })).status).toBe(200)
  })
})

test('an added agent is at once on every list and gone from all of them once it is removed', async () => {
  await using server = await startServer()
  const seen = async () => {
    const ids = (list: unknown) => (list as { id: string }[]).map(({ id }) => id)
    const config = (await call(server, '/config')).body as { agents: unknown }
    const info = (await call(server, '/info')).body as { agent_count: number }
    return {
      list: ids((await call(server, '/agents')).body),
      config: ids(config.agents),
      count: info.agent_count,
      detail: (await call(server, '/agents/new')).status,
      run: (await call(server, '/agents/new/runs', form({ message: 'hi', stream: 'false' }))).status,
    }
  }
  const without = { list: [], config: [], count: 0, detail: 404, run: 404 }
  expect(await seen()).toEqual(without)
  await addAgent(server, { id: 'new' })
  expect(await seen()).toEqual({ list: ['new'], config: ['new'], count: 1, detail: 200, run: 200 })
  await call(server, '/runtime/agents/new', { method: 'DELETE' })
  expect(await seen()).toEqual(without)
})

test('1,000 agents added and removed leave routes, listeners and timers as they were', async () => {
  await using server = await startServer()
  const census = () => ({
    routes: server.app.router.stack.length,
    listeners: process.eventNames().reduce<number>((sum, name) => sum + process.listenerCount(name), 0),
    timers: process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length,
  })
  const cycle = async (n: number): Promise<void> => {
    await addAgent(server, { id: `agent-${n}` })
    await call(server, `/runtime/agents/agent-${n}`, { method: 'DELETE' })
  }
  await cycle(0)
  const before = census()
  for (let batch = 0; batch < 50; batch += 1) {
    await Promise.all(Array.from({ length: 20 }, (_, n) => cycle(batch * 20 + n)))
  }
  expect((await stats(server)).agents).toEqual({ count: 0, ids: [] })
  const after = census()
  expect(after.routes).toBe(before.routes)
  expect(after.listeners).toBe(before.listeners)
  // The client's and the server's connections each keep a timer while they are open: at most the 20 of a batch.
  expect(after.timers - before.timers).toBeLessThanOrEqual(45)
})

test('routes that the host app mounted beside these stay through refreshes', async () => {
  await using server = await startServer()
  const before = server.app.router.stack.length
  for (let n = 0; n < 100; n += 1) await call(server, '/runtime/refresh', { method: 'POST' })
  expect(server.app.router.stack.length).toBe(before)
})

test('while the settings do not turn the dynamic calls on, each answers 404 and names the field', async () => {
  await using server = await startServer({ dynamicApi: 'declared' })
  for (const path of ['/runtime/stats', '/runtime/agents', '/runtime/refresh']) {
    const { status, body } = await call(server, path, { method: path === '/runtime/stats' ? 'GET' : 'POST' })
    expect(status).toBe(404)
    expect(body).toEqual({ detail: expect.stringMatching(/^The dynamic API is off.*spec\.dynamicApi\.enabled/) })
  }
})

test('the settings turn the dynamic calls on and off from one request to the next', async () => {
  await using server = await startServer({ dynamicApi: 'declared' })
  const statuses = async () => [
    (await call(server, '/runtime/stats')).status,
    (await call(server, '/runtime/refresh', { method: 'POST' })).status,
  ]
  server.registry.configure({ dynamicApi: { enabled: true } })
  expect(await statuses()).toEqual([200, 200])
  server.registry.configure({})
  expect(await statuses()).toEqual([404, 404])
})

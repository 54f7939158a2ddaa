import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { MemoryRegistry, memoryBundle, startServer, type TestServer } from './server.fixture.ts'

type Answer = { status: number; body: unknown; headers: Record<string, unknown> }

/** A request with any headers, Host included, which fetch would not send. */
function ask(server: TestServer, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: server.port, path, method, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
      })
      response.on('end', () => {
        const body: unknown = text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text
        resolve({ status: response.statusCode ?? 0, body, headers: response.headers })
      })
    })
    asked.on('error', reject)
    asked.end()
  })
}

function sampleRegistry(): MemoryRegistry {
  const bundle = memoryBundle(
    'files',
    { weather: async () => 'sunny', other: async () => '' },
    { 'support.md': 'Be kind.' },
  )
  const registry = new MemoryRegistry({ bundles: [bundle], models: ['default', 'large'] })
  const support = { description: 'Answers', role: 'Clerk', prompt: { file: 'support.md' }, tools: ['weath*'] }
  registry.declare({ kind: 'Agent', name: 'support', title: 'Support desk', spec: { ...support, agents: ['writer'] } })
  registry.declare({ kind: 'Agent', name: 'writer', spec: { model: 'large', instructions: 'Write.' } }, 'operator')
  registry.declare({ kind: 'Team', name: 'desk', spec: { members: [{ agent: 'support', role: 'first' }] } })
  registry.declare({ kind: 'Workflow', name: 'publish', spec: { steps: [{ name: 'draft', agent: 'writer' }] } })
  return registry
}

const hash = expect.stringMatching(/^[0-9a-f]{32}$/)

describe('what is served', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ registry: sampleRegistry() })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const body = async (path: string): Promise<unknown> => (await ask(server, path)).body

  test('/, /health and /info say who answers', async () => {
    expect(await body('/')).toEqual({ name: 'Test OS', id: 'test-os', version: '1.2.3' })
    expect(await body('/health')).toEqual({ status: 'ok', instantiated_at: expect.stringMatching(/^\d{4}-.*Z$/) })
    expect(await body('/info')).toEqual({
      os_id: 'test-os',
      name: 'Test OS',
      version: '1.2.3',
      agent_count: 2,
      team_count: 1,
      workflow_count: 1,
      mcp: { enabled: false },
      auth_mode: 'none',
    })
  })

  test('/config lists the models and the items of each kind, without nulls', async () => {
    const config = await ask(server, '/config')
    expect(config.body).toMatchObject({
      os_id: 'test-os',
      available_models: ['default', 'large'],
      databases: [],
      agents: [{ id: 'support' }, { id: 'writer' }],
      teams: [{ id: 'desk' }],
      workflows: [{ id: 'publish' }],
      interfaces: [],
    })
    expect(JSON.stringify(config.body)).not.toContain('null')
  })

  test('/models names each model and its provider, and no credential', async () => {
    expect(await body('/models')).toEqual([
      { id: 'default', provider: 'scripted', name: 'default' },
      { id: 'large', provider: 'scripted', name: 'large' },
    ])
  })

  test('a list shows each item with owner, revision and digest', async () => {
    expect(await body('/agents')).toEqual([
      {
        id: 'support',
        name: 'Support desk',
        description: 'Answers',
        model: { name: 'default', provider: 'scripted', model: 'default' },
        owner: 'dev',
        revision: hash,
        digest: hash,
      },
      {
        id: 'writer',
        name: 'writer',
        model: { name: 'large', provider: 'scripted', model: 'large' },
        owner: 'operator',
        revision: hash,
        digest: hash,
      },
    ])
    expect(await body('/workflows')).toEqual([
      { id: 'publish', name: 'publish', owner: 'dev', revision: hash, digest: hash },
    ])
  })

  test('an agent shows its effective instructions and tools, and its spec as declared', async () => {
    expect(await body('/agents/support')).toMatchObject({
      id: 'support',
      role: 'Clerk',
      instructions: 'Be kind.',
      tools: [
        { name: 'weather', bundle: 'files', parameters: { type: 'object' } },
        { name: 'writer', agent: 'writer' },
      ],
      max_steps: 20,
      revision: hash,
      digest: hash,
      spec: { prompt: { file: 'support.md' }, tools: ['weath*'], limits: { timeoutSeconds: 300 } },
    })
  })

  test('a team shows its members and a workflow its steps', async () => {
    expect(await body('/teams/desk')).toMatchObject({
      mode: 'coordinate',
      members: [{ id: 'support', type: 'agent', role: 'first' }],
    })
    expect(await body('/workflows/publish')).toMatchObject({ steps: [{ name: 'draft', agent: 'writer', needs: [] }] })
  })

  test('what is not there is 404 in the words of its kind', async () => {
    for (const id of ['nobody', '__proto__', 'constructor', 'toString', 'a%2Fb']) {
      expect(await ask(server, `/agents/${id}`)).toMatchObject({ status: 404, body: { detail: 'Agent not found' } })
    }
    expect(await body('/teams/nobody')).toEqual({ detail: 'Team not found' })
    expect(await body('/workflows/nobody')).toEqual({ detail: 'Workflow not found' })
  })

  test('an unknown path is 404, a wrong method 405 with what is allowed, a bad escape 400', async () => {
    expect(await ask(server, '/nothing')).toMatchObject({ status: 404, body: { detail: 'Not Found' } })
    expect(await ask(server, '/agents', {}, 'DELETE')).toMatchObject({
      status: 405,
      body: { detail: 'Method Not Allowed' },
      headers: { allow: 'HEAD, GET' },
    })
    expect(await ask(server, '/agents/support/runs')).toMatchObject({ status: 405, headers: { allow: 'POST' } })
    expect(await ask(server, '/agents/%E0%A4%A')).toMatchObject({ status: 400, body: { detail: expect.any(String) } })
    expect(server.lines).toEqual([])
  })

  test('no header tells the framework, and none opens the API to other origins', async () => {
    const { headers } = await ask(server, '/agents')
    expect(headers['x-powered-by']).toBeUndefined()
    expect(headers['access-control-allow-origin']).toBeUndefined()
  })
})

describe('with a key', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ registry: sampleRegistry(), auth: { type: 'key', keys: () => ['s3cret-key'] } })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const guarded = [
    '/agents',
    '/agents/support',
    '/config',
    '/models',
    '/tools',
    '/extensions',
    '/runtime/stats',
    '/runtime/refresh',
    '/x',
  ]

  test.each(guarded)('%s asks for it', async (path) => {
    expect(await ask(server, path)).toMatchObject({
      status: 401,
      body: { detail: 'Authorization header required' },
      headers: { 'www-authenticate': 'Bearer' },
    })
  })

  test.each([
    ['Bearer wrong', 'Invalid authentication token'],
    ['Bearer s3cret-key-and-more', 'Invalid authentication token'],
    ['Basic s3cret-key', 'Authorization header required'],
    ['Bearer ', 'Authorization header required'],
  ])('%s is refused', async (authorization, detail) => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      expect(await ask(server, '/runtime/agents/x', { authorization }, method)).toMatchObject({
        status: 401,
        body: { detail },
      })
    }
  })

  test('the key opens everything', async () => {
    const { status } = await ask(server, '/runtime/stats', { authorization: 'Bearer s3cret-key' })
    expect(status).toBe(200)
  })

  test('/, /health and /info are open, and /info says what is asked for', async () => {
    for (const path of ['/', '/health', '/info']) expect((await ask(server, path)).status).toBe(200)
    expect((await ask(server, '/info')).body).toMatchObject({ auth_mode: 'security_key' })
  })

  test('any Host and Origin will do', async () => {
    const headers = {
      host: 'runtime.default.svc',
      origin: 'https://ui.example.com',
      authorization: 'Bearer s3cret-key',
    }
    expect((await ask(server, '/agents', headers)).status).toBe(200)
  })
})

describe('without a key', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('a name that DNS may have pointed here is refused, on open paths too', async () => {
    for (const path of ['/health', '/agents', '/runtime/stats', '/nothing']) {
      expect(await ask(server, path, { host: 'evil.example.com' })).toMatchObject({
        status: 403,
        body: { detail: expect.stringContaining('Host') },
      })
    }
  })

  test('a page of another origin is refused, this server’s own is not', async () => {
    const host = `localhost:${server.port}`
    const from = async (origin: string) => (await ask(server, '/agents', { host, origin })).status
    expect(await from('https://evil.example.com')).toBe(403)
    expect(await from('http://localhost:3000')).toBe(403)
    expect(await from('null')).toBe(403)
    expect(await from(`http://${host}`)).toBe(200)
  })
})

test('an error that nobody expected is 500 without its text, and one log line', async () => {
  await using server = await startServer()
  Object.defineProperty(server.registry, 'current', {
    get: () => {
      throw new TypeError('canary')
    },
  })
  expect(await ask(server, '/agents')).toMatchObject({ status: 500, body: { detail: 'Internal Server Error' } })
  expect(server.lines).toEqual([
    {
      level: 'error',
      message: 'request failed',
      fields: { error: expect.any(TypeError), method: 'GET', path: '/agents' },
    },
  ])
})

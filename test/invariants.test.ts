import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { agentSpec, type Definition, type RuntimeEvent, settingsSpec, teamSpec } from '../src/api/index.ts'
import { ask, startRuntime, type TestRuntime, until } from './support/runtime.ts'

const script = [
  { match: 'weather', call: { tool: 'weather', arguments: {} }, reply: 'It says: {{result}}' },
  { match: '.*', reply: '{{instructions}}' },
]
const settings = (...models: object[]): Definition => ({
  kind: 'Settings',
  name: 'default',
  spec: settingsSpec.parse({
    models: [{ name: 'default', provider: 'scripted', script }, ...models],
    tools: { timeoutSeconds: 5 },
  }),
})
const agent = (name: string, spec: object = {}): Definition => ({ kind: 'Agent', name, spec: agentSpec.parse(spec) })
const tool = (body: string) => `export default { description: 'd', execute: async (args, context) => { ${body} } }\n`
const GOOD = { 'tools/weather.ts': tool("return 'sunny'"), 'prompts/support.md': 'You are one.' }

let runtime: TestRuntime
beforeEach(async () => {
  runtime = await startRuntime()
  await runtime.declare(
    settings(),
    agent('support', { tools: ['weather'], prompt: { file: 'support.md' } }),
    agent('other', { instructions: 'other' }),
  )
  await runtime.files('files', GOOD)
})
afterEach(() => runtime.stop())

const answerOf = async (path: string, message: string): Promise<unknown> =>
  (await ask(runtime.url, path, message)).body.content
const answers = async () => [
  await answerOf('agents/support', 'weather?'),
  await answerOf('agents/support', 'hello'),
  await answerOf('agents/other', 'hello'),
]
const GOOD_ANSWERS = ['It says: sunny', 'You are one.', 'other']

describe('invariant 1: a bad change never replaces a good one (within a running process)', () => {
  test.each<[string, Record<string, string>, string]>([
    ['a tool that does not parse', { 'tools/weather.ts': 'export default {' }, 'InvalidSyntax'],
    ['a tool that throws at load', { 'tools/weather.ts': 'throw new Error("no")' }, 'ToolLoadFailed'],
    ['a tool that exports nothing', { 'tools/weather.ts': 'const x = 1' }, 'InvalidTool'],
    [
      'a tool with a bad schema',
      { 'tools/weather.ts': 'export default { description: "d", parameters: { type: "nothing" }, execute: () => 1 }' },
      'InvalidTool',
    ],
    ['an import that is not there', { 'tools/weather.ts': "import './gone.ts'\nexport default {}" }, 'ImportNotFound'],
    ['a package that is not allowed', { 'tools/weather.ts': "import 'zod'\nexport default {}" }, 'PackageNotAllowed'],
    [
      'a built-in that is not allowed',
      { 'tools/weather.ts': "import 'node:fs'\nexport default {}" },
      'PackageNotAllowed',
    ],
    ['a prompt that includes itself', { 'prompts/support.md': '{{include "support.md"}}' }, 'IncludeCycle'],
    ['an include that is not there', { 'prompts/support.md': '{{include "gone.md"}}' }, 'IncludeNotFound'],
    ['a prompt that is not text', { 'prompts/support.md': 'a\u0000b' }, 'FileNotText'],
  ])('%s', async (_what, change, reason) => {
    const result = await runtime.files('files', { ...GOOD, ...change })
    expect([result.outcome, result.error?.reason]).toEqual(['rejected', reason])
    expect(result.error?.file).toBe(Object.keys(change)[0])
    expect(await answers()).toEqual(GOOD_ANSWERS)
    const fixed = { ...GOOD, 'prompts/support.md': 'Fixed.' }
    expect((await runtime.files('files', fixed)).outcome).toBe('activated')
    expect(await answerOf('agents/support', 'hello')).toBe('Fixed.')
  })

  test.each<[string, object, string]>([
    ['an unknown tool', { tools: ['nowhere'] }, 'ToolNotFound'],
    ['an unknown model', { model: 'none' }, 'ModelNotFound'],
    ['an unknown agent', { agents: ['nobody'] }, 'AgentNotFound'],
    ['an unknown prompt file', { prompt: { file: 'none.md' } }, 'PromptNotFound'],
    ['an agent that calls itself', { agents: ['support'] }, 'ReferenceCycle'],
  ])('%s', async (_what, spec, reason) => {
    const { items } = await runtime.declare(agent('support', spec))
    expect(items['agents/support']).toMatchObject({ outcome: 'pending', error: { reason } })
    expect(await answers()).toEqual(GOOD_ANSWERS)
  })
})

describe('invariant 2 (NextRun): a run sees one snapshot from start to end', () => {
  test('tool and prompt change while a run waits: it ends on what it began with, the next run has the new', async () => {
    const gate = Promise.withResolvers<void>()
    const entered = Promise.withResolvers<void>()
    Object.assign(globalThis, { midflightGate: { gate: gate.promise, entered: entered.resolve } })
    const waiting = tool("globalThis.midflightGate.entered(); await globalThis.midflightGate.gate; return 'old'")
    await runtime.files('files', { ...GOOD, 'tools/weather.ts': waiting })
    const before = runtime.registry.current.agents.get('support')
    const running = ask(runtime.url, 'agents/support', 'weather?')
    await entered.promise
    await runtime.files('files', { 'tools/weather.ts': tool("return 'new'"), 'prompts/support.md': 'Changed.' })
    await runtime.declare(agent('support', { tools: ['weather'], role: 'changed' }))
    expect(await answerOf('agents/support', 'weather?')).toBe('It says: new')
    gate.resolve()
    const { body } = await running
    expect(body).toMatchObject({ content: 'It says: old', revision: before?.revision, digest: before?.digest })
    await until('the old version is let go', () => runtime.registry.bundleVersionsAlive === 1)
  })
})

describe('invariant 3: a bad item never affects another item or agent', () => {
  test('a broken bundle, a waiting agent and a dead model leave the others answering', async () => {
    const dead = { name: 'dead', provider: 'openai-compatible', model: 'x', baseURL: 'http://127.0.0.1:9/v1' }
    await runtime.declare(
      settings(dead),
      agent('lost', { tools: ['none'] }),
      agent('mute', { model: 'dead', limits: { timeoutSeconds: 2 } }),
    )
    await runtime.files('broken', { 'tools/x.ts': 'export default' })
    const [mute, good] = await Promise.all([ask(runtime.url, 'agents/mute', 'hi'), answers()])
    expect(good).toEqual(GOOD_ANSWERS)
    expect(mute.body.status).toBe('ERROR')
    expect((await ask(runtime.url, 'agents/lost', 'hi')).status).toBe(404)
  })

  test.each([
    ['throws', "throw new Error('boom')"],
    ['returns BigInt', 'return 1n'],
    ['returns a cycle', 'const a = {}; a.a = a; return a'],
    ['returns 50 MB', "return 'x'.repeat(50_000_000)"],
    ['rejects later, after it has answered', "Promise.reject(new Error('later')).catch(() => {}); return 1"],
    ['never answers', 'await new Promise(() => {})'],
  ])('a tool that %s costs its own call', async (_what, body) => {
    await runtime.declare(
      agent('bad', { tools: ['bad'] }),
      settings({
        name: 's',
        provider: 'scripted',
        script: [{ match: '.*', call: { tool: 'bad' }, reply: 'after: {{result}}' }],
      }),
    )
    await runtime.declare(agent('bad', { tools: ['bad'], model: 's', limits: { timeoutSeconds: 1 } }))
    await runtime.files('bad', { 'tools/bad.ts': tool(body) })
    const [, good] = await Promise.all([ask(runtime.url, 'agents/bad', 'go'), answers()])
    expect(good).toEqual(GOOD_ANSWERS)
  })
})

describe('invariant 7: secrets never appear in status, events, logs, errors, state or API answers', () => {
  const CANARY = 'sk-canary-5f1e9b7a'

  /** A model server that answers every call with an error which quotes the key that it was given. */
  async function indiscreetModel(): Promise<{ url: string; seen: string[]; close: () => void }> {
    const seen: string[] = []
    const server = createServer((request, response) => {
      const key = request.headers.authorization ?? ''
      seen.push(key)
      response.writeHead(401, { 'content-type': 'application/json', 'x-echo': key })
      response.end(
        JSON.stringify({ error: { message: `Incorrect API key provided: ${key}`, code: 'invalid_api_key' } }),
      )
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, seen, close: () => server.close() }
  }

  test('a canary key is used for the model’s call and found nowhere else', async () => {
    const model = await indiscreetModel()
    const stop = new AbortController()
    const events: RuntimeEvent[] = []
    const reading = (async () => {
      for await (const event of runtime.registry.events(stop.signal)) events.push(event)
    })()
    const keyed = {
      name: 'keyed',
      provider: 'openai-compatible',
      model: 'x',
      baseURL: model.url,
      apiKey: { secretKeyRef: { name: 'llm', key: 'k' } },
    }
    await runtime.declare(settings(keyed), agent('keyed', { model: 'keyed' }))
    await runtime.secret('llm/k', CANARY)
    const run = await ask(runtime.url, 'agents/keyed', 'hi')
    const stream = await fetch(`${runtime.url}/agents/keyed/runs`, {
      method: 'POST',
      body: new URLSearchParams({ message: 'hi' }),
    })
    const shown = [
      JSON.stringify(run.body),
      await stream.text(),
      JSON.stringify(runtime.registry.state()),
      runtime.logged(),
    ]
    for (const path of ['config', 'models', 'agents', 'agents/keyed', 'info', 'runtime/stats', 'tools', 'nowhere']) {
      shown.push(await (await fetch(`${runtime.url}/${path}`)).text())
    }
    shown.push(
      await (await fetch(`${runtime.healthUrl}/metrics`)).text(),
      await (await fetch(`${runtime.healthUrl}/readyz?verbose`)).text(),
    )
    stop.abort()
    await reading
    shown.push(JSON.stringify(events))
    model.close()
    expect(model.seen).toContain(`Bearer ${CANARY}`)
    expect(run.body.status).toBe('ERROR')
    for (const text of shown) expect(text).not.toContain(CANARY)
  })
})

describe('invariant 8: decisions are pure functions', () => {
  const PURE = [
    'src/operator/compile',
    'src/operator/sync',
    'src/operator/boot/contents.ts',
    'src/operator/boot/plan.ts',
    'src/operator/unit/placed',
    'src/runtime/registry/plan',
    'src/runtime/files/channels.ts',
    'src/runtime/files/prompts.ts',
    'src/runtime/run/prompt.ts',
    'src/runtime/workflow/plan.ts',
    'src/api',
  ]
  const filesOf = (path: string): string[] =>
    path.endsWith('.ts')
      ? [path]
      : readdirSync(path, { recursive: true, encoding: 'utf8' })
          .filter((name) => name.endsWith('.ts') && !/\.(test|fixture|contract)\.ts$/.test(name))
          .map((name) => `${path}/${name}`)

  test.each(PURE.flatMap(filesOf))('%s does no I/O and reads no clock and no chance', (file) => {
    const source = readFileSync(file, 'utf8')
    const impure =
      /from '(node:(fs|net|http|https|child_process|timers|process)[^']*|express|chokidar|pino)'|Date\.now|new Date\(\)|performance\.now|Math\.random|randomUUID|setTimeout|setInterval|process\.(env|cwd|hrtime|memoryUsage|exit|on)\b|\bfetch\(/
    expect(impure.exec(source)?.[0]).toBeUndefined()
  })
})

describe('invariant 10: nothing is lost or applied twice under concurrency, and nothing grows without bound', () => {
  test('1,000 runs at once while bundles are swapped, a tenth of them bad: each is answered once, and in one piece', async () => {
    const pair = (version: number) => ({
      'tools/weather.ts': tool(`return ${version}`),
      'prompts/support.md': `Version ${version}`,
    })
    await runtime.files('files', pair(0))
    const swaps = (async () => {
      for (let version = 1; version <= 100; version += 1) {
        const files = version % 10 === 0 ? { ...pair(version), 'tools/weather.ts': 'export default {' } : pair(version)
        await runtime.files('files', files)
      }
    })()
    const runs = Array.from({ length: 1000 }, (_, index) =>
      ask(runtime.url, 'agents/support', index % 2 ? 'weather?' : 'hello'),
    )
    const results = await Promise.all(runs)
    await swaps
    expect(results.filter(({ status, body }) => status !== 200 || body.status !== 'COMPLETED')).toEqual([])
    const versions = results.map(({ body }) => /^(?:It says: |Version )(\d+)$/.exec(String(body.content))?.[1])
    expect(
      versions.filter((version) => version === undefined || (Number(version) % 10 === 0 && version !== '0')),
    ).toEqual([])
    expect(new Set(results.map(({ body }) => body.run_id)).size).toBe(1000)
    const metrics = await (await fetch(`${runtime.healthUrl}/metrics`)).text()
    expect(metrics).toContain('midflight_runs_total{kind="agents",name="support",status="completed"} 1000')
    expect(metrics).toContain('midflight_tool_calls_total{tool="files/weather",result="ok"} 500')
    expect(metrics).toMatch(/midflight_runs_in_flight 0\n/)
    expect(runtime.registry.bundleVersionsAlive).toBe(1)
  }, 60_000)

  test('one initial agent and three clients that add three each make ten', async () => {
    const add = (id: string) =>
      fetch(`${runtime.url}/runtime/agents`, {
        method: 'POST',
        body: new URLSearchParams({ agent_config: JSON.stringify({ id }) }),
      })
    const clients = [0, 1, 2].map(async (client) => {
      for (const index of [0, 1, 2]) expect((await add(`client-${client}-${index}`)).status).toBe(200)
    })
    await Promise.all(clients)
    const stats = (await (await fetch(`${runtime.url}/runtime/stats`)).json()) as { agents: { count: number } }
    expect(stats.agents.count).toBe(2 + 9)
  })

  test('every change is told once and without gaps, whoever makes it', async () => {
    const stop = new AbortController()
    const ids: number[] = []
    const items: string[] = []
    const reading = (async () => {
      for await (const event of runtime.registry.events(stop.signal)) {
        ids.push(Number(event.id.split('/')[1]))
        if (event.type === 'activated') items.push(event.item)
      }
    })()
    const names = Array.from({ length: 60 }, (_, index) => `x${index}`)
    await Promise.all(
      names.map((name, index) => (index % 2 ? runtime.declare(agent(name)) : runtime.registry.add(agent(name)))),
    )
    await until('all are told', () => items.length >= names.length)
    stop.abort()
    await reading
    expect(items.sort()).toEqual(names.map((name) => `agents/${name}`).sort())
    expect(ids.every((id, index) => index === 0 || id === (ids[index - 1] ?? 0) + 1)).toBe(true)
  })

  test('a member of a team is not removed under it', async () => {
    await runtime.declare({ kind: 'Team', name: 'duo', spec: teamSpec.parse({ members: [{ agent: 'added' }] }) })
    await fetch(`${runtime.url}/runtime/agents`, {
      method: 'POST',
      body: new URLSearchParams({ agent_config: '{"id":"added"}' }),
    })
    const response = await fetch(`${runtime.url}/runtime/agents/added`, { method: 'DELETE' })
    expect(response.status).toBe(409)
    expect(runtime.registry.current.teams.has('duo')).toBe(true)
  })
})

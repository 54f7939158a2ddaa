import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { agentSpec, type Definition, type RuntimeEvent, runtimeEvent, settingsSpec } from '../src/api/index.ts'
import { ask, startRuntime, type TestRuntime } from './support/runtime.ts'

const CANARY = 'canary-tool-90ab31'
const NEXT = 'canary-next-77f0c2'
const ID = 'weather-api/token'
const SECRETS = [{ name: 'weather', secretKeyRef: { name: 'weather-api', key: 'token' } }]
const script = [
  { match: '^call:(\\w+)', call: { tool: 'echo' }, reply: 'got {{result}}' },
  { match: '.*', reply: 'hello' },
]
const settings = (tools: object = { secrets: SECRETS }): Definition => ({
  kind: 'Settings',
  name: 'default',
  spec: settingsSpec.parse({ models: [{ name: 'default', provider: 'scripted', script }], tools }),
})
const agent: Definition = { kind: 'Agent', name: 'a', spec: agentSpec.parse({ tools: ['*'] }) }

const LENGTH = `export default {
  description: 'tells of its key',
  execute: (args, { secrets }) => ({ length: secrets.weather?.length ?? null, last: secrets.weather?.at(-1) ?? null }),
}`
const LEAKY = `export default {
  description: 'leaks its key into a failure and the log',
  execute: (args, { secrets, log }) => {
    log.info('key ' + secrets.weather, { key: secrets.weather, nested: [{ in: 'x' + secrets.weather + 'y' }] })
    throw new Error('401 for ' + secrets.weather)
  },
}`
const CAREFUL = `export default {
  description: 'wants its key before it serves',
  execute: () => 'served',
  selfTest: ({ secrets }) => { if (secrets.weather !== '${NEXT}') throw new Error('refused with ' + secrets.weather) },
}`

const DYING = `export default {
  description: 'takes its process with it',
  execute: (args, { secrets }) => new Promise(() => void setTimeout(() => { throw new Error('dying with ' + secrets.weather) })),
}`

let runtime: TestRuntime
beforeEach(async () => {
  runtime = await startRuntime()
})
afterEach(() => runtime.stop())

const call = async (tool: string) => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }
  const answer = await fetch(`${runtime.url}/tools/${tool}/call`, init)
  return JSON.stringify(await answer.json())
}

describe('a secret of tools', () => {
  test('is what it was pushed as last, without a reload', async () => {
    await runtime.files('files', { 'tools/echo.js': LENGTH })
    await runtime.declare(settings(), agent)
    expect(await call('echo')).toContain('"length":null')
    await runtime.secret(ID, 'one')
    const before = runtime.registry.current.bundles.get('files')
    expect(await call('echo')).toContain('"length":3')
    await runtime.secret(ID, 'three')
    expect(await call('echo')).toContain('"length":5')
    expect((await ask(runtime.url, 'agents/a', 'call:echo')).body.content).toContain('"length":5')
    expect(runtime.registry.current.bundles.get('files')).toBe(before)
  })
  test('that is declared no more is gone', async () => {
    await runtime.files('files', { 'tools/echo.js': LENGTH })
    await runtime.declare(settings(), agent)
    await runtime.secret(ID, 'one')
    await runtime.declare(settings({}))
    expect(await call('echo')).toContain('"length":null')
  })
  test('reaches self-tests, and a version that it failed is tried again when the secret changes', async () => {
    await runtime.declare(settings(), agent)
    await runtime.secret(ID, CANARY)
    expect(await runtime.files('files', { 'tools/careful.js': CAREFUL })).toMatchObject({
      outcome: 'rejected',
      error: { reason: 'SelfTestFailed', message: expect.stringContaining('refused with [redacted]') },
    })
    await runtime.secret(ID, NEXT)
    expect(await call('careful')).toContain('served')
  })
})

test('a process of tools that dies is an incident, with its cause and without the value of a secret', async () => {
  const isolated = await startRuntime({ isolation: 'process' })
  try {
    await isolated.declare(settings(), agent)
    await isolated.secret(ID, CANARY)
    await isolated.files('files', { 'tools/echo.js': DYING })
    const { lastEventId } = isolated.registry.state()
    await fetch(`${isolated.url}/tools/echo/call`, { method: 'POST' })
    const event = await isolated.registry
      .events(new AbortController().signal, lastEventId)
      [Symbol.asyncIterator]()
      .next()
    expect(runtimeEvent.parse(event.value)).toMatchObject({
      type: 'incident',
      reason: 'ToolHostLost',
      cause: 'uncaught',
      bundle: 'files',
      file: 'tools/echo.js',
      line: 3,
      message: expect.stringMatching(/dying with \[redacted\]; calls under way: echo$/),
    })
    expect(JSON.stringify(event.value) + isolated.logged()).not.toContain(CANARY)
    expect(isolated.logged()).toContain('a process with tool code ended')
  } finally {
    await isolated.stop()
  }
})

test('invariant 7: the value of a tool’s secret is in no answer, event, state, metric or log line', async () => {
  await runtime.declare(settings(), agent)
  await runtime.secret(ID, CANARY)
  const shown = [
    JSON.stringify(await runtime.files('files', { 'tools/careful.js': CAREFUL })),
    JSON.stringify(
      await runtime.files('files', {
        'tools/echo.js': LEAKY,
        'extensions/run_end/_1.js': `export default { execute(event, { secrets, log }) { log.warn(secrets.weather); throw new Error(secrets.weather) } }`,
      }),
    ),
    await call('echo'),
    JSON.stringify((await ask(runtime.url, 'agents/a', 'call:echo')).body),
    JSON.stringify(runtime.registry.state()),
    await runtime.metricsText(),
  ]
  const stop = new AbortController()
  const { lastEventId } = runtime.registry.state()
  const told: RuntimeEvent[] = []
  for await (const event of runtime.registry.events(stop.signal, `${runtime.registry.bootId}/0`)) {
    told.push(event)
    shown.push(JSON.stringify(event))
    if (event.id === lastEventId) stop.abort()
  }
  shown.push(runtime.logged())
  expect(runtime.logged()).toContain('key [redacted]')
  expect(runtime.logged()).toContain('an extension failed')
  expect(shown[2]).toContain('401 for [redacted]')
  expect(told.flatMap((event) => (event.type === 'incident' ? [event.message] : []))).toEqual([
    expect.stringContaining('[redacted]'),
  ])
  for (const text of shown) expect(text).not.toContain(CANARY)
})

import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { createMetrics } from '../metrics.ts'
import { bundleFrom } from './files/bundle.fixture.ts'
import { agent, request, settings } from './registry/registry.fixture.ts'
import { keptLog, toolSaying, until } from './reload/reload.fixture.ts'
import { createRuntime } from './runtime.ts'
import { createToolHost, type Isolation } from './tools/index.ts'

/** A machine with much else to do takes seconds to start a process. */
jest.setTimeout(30_000)

const MODELS = [
  { name: 'default', provider: 'scripted', script: [{ match: '.*', call: { tool: 'weather' } }] },
  { name: 'careless', provider: 'scripted', script: [{ match: '.*', call: { tool: 'strict', arguments: { n: 1 } } }] },
]
const tool = (body: string, more = '') =>
  `export default { description: 'x', ${more} parameters: { type: 'object' }, execute: ${body} }\n`
const STRICT = tool('() => 1', '').replace("{ type: 'object' }", "{ type: 'object', required: ['text'] }")
const GOOD = { 'tools/weather.ts': toolSaying('sun'), 'tools/strict.ts': STRICT }

const stops: AbortController[] = []
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort(new Error('the test is over'))
})

async function served(isolation: Isolation) {
  const stop = new AbortController()
  stops.push(stop)
  const kept = keptLog()
  const metrics = createMetrics({ process: false })
  const host = createToolHost({ isolation, output: 'ignore', onRestart: () => undefined }, stop.signal)
  const probation = { seconds: 30, minCalls: 3, maxErrorPercent: 50 }
  const { registry, runs, hotReload, metricsText } = createRuntime(
    { host, metrics, log: kept.log, mounts: ['files'], probation },
    stop.signal,
  )
  const { bootId } = registry
  const tools = { timeoutSeconds: 1 }
  const definitions = [
    settings({ models: MODELS, tools }),
    agent('support', { tools: ['*'] }),
    agent('careless', { model: 'careless', tools: ['*'] }),
  ]
  await registry.apply(request({ owner: 'dev', target: { bootId }, definitions }))
  const show = (sources: Readonly<Record<string, string>>) => registry.offer(bundleFrom({ ...GOOD, ...sources }))
  const start = (name = 'support') => runs.start({ kind: 'agents', name, message: 'go' })
  const run = (times: number, name?: string) => Promise.all(Array.from({ length: times }, () => start(name).ended))
  const state = () => registry.state().bundles.support
  const good = (await show({})).revision
  return { ...kept, registry, hotReload, metricsText, show, start, run, state, good }
}

const THROWS = tool('() => { throw new Error("no sun") }')
const HANGS = tool('() => new Promise(() => undefined)')
const BROKEN = 'export default { execute() { throw new Error("no") } }\n'

describe('a new version is gone back from', () => {
  test.each<[string, Isolation, string, string, string]>([
    ['whose tool throws', 'none', 'tools/weather.ts', THROWS, 'ToolFailed: '],
    ['whose tool throws in a process of its own', 'process', 'tools/weather.ts', THROWS, 'ToolFailed: '],
    ['whose tool ends its process', 'process', 'tools/weather.ts', tool('() => process.exit(3)'), 'ToolFailed: '],
    ['whose tool takes too long', 'none', 'tools/weather.ts', HANGS, 'ToolTimeout: '],
    ['whose tool returns no JSON', 'none', 'tools/weather.ts', tool('() => 1n'), 'InvalidToolResult: '],
    ['whose extension fails, though no run does', 'none', 'extensions/run_start/_10_x.ts', BROKEN, 'ExtensionFailed: '],
  ])('%s', async (...[, isolation, file, source, reason]) => {
    const { show, run, state, good } = await served(isolation)
    await show({ [file]: source })
    await run(3)
    await until('it went back', () => state()?.active === good)
    expect(state()?.candidate).toMatchObject({ outcome: 'reverted', error: { file } })
    expect(state()?.candidate?.error?.message).toContain(`3 of its first 3 calls failed, most with ${reason}`)
  })
})

test('arguments that the model gets wrong speak against no version', async () => {
  const { show, run, state, metricsText } = await served('none')
  const { revision } = await show({ 'prompts/a.md': 'a' })
  await run(6, 'careless')
  expect(await metricsText()).toContain('midflight_tool_calls_total{tool="support/strict",result="error"} 6')
  expect(state()).toMatchObject({ active: revision })
})

test('calls of runs that were cancelled speak against no version', async () => {
  const { show, start, state } = await served('none')
  const { revision } = await show({ 'tools/weather.ts': HANGS })
  for (let count = 0; count < 4; count += 1) {
    const run = start()
    for await (const { type } of run.events) if (type === 'toolStarted') run.cancel('enough')
  }
  expect(state()).toMatchObject({ active: revision })
})

test('it is told in history, metrics and log', async () => {
  const { show, run, state, good, hotReload, metricsText, lines } = await served('none')
  const { revision } = await show({ 'tools/weather.ts': THROWS })
  await run(3)
  await until('it went back', () => state()?.active === good)
  expect(hotReload.history.list({ limit: 1 })).toMatchObject([
    {
      bundle: 'support',
      source: 'probation',
      result: 'reverted',
      hash: good,
      files: [{ path: 'tools/weather.ts', change: 'modified' }],
      error: { reason: 'RevertedByProbation', file: 'tools/weather.ts', line: 1 },
    },
  ])
  expect(hotReload.stats().stats.failures).toBe(1)
  const text = await metricsText()
  expect(text).toContain('midflight_rollbacks_total{cause="probation"} 1')
  expect(text).toContain('midflight_reloads_total{source="probation",kind="bundles",result="reverted"} 1')
  expect(text).toContain('midflight_registry_items{kind="bundles",state="rejected"} 1')
  expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
    {
      message: 'a bundle went back to its last good version',
      fields: { bundle: 'support', problem: { message: expect.stringContaining(`version ${revision} was gone back`) } },
    },
  ])
})

test('a first version that fails is told as an incident, and goes on serving', async () => {
  const { registry, run, state, good, show } = await served('none')
  await registry.withdraw('support')
  expect(good).toBeDefined()
  const { revision } = await show({ 'tools/weather.ts': THROWS })
  const stop = new AbortController()
  const events = registry.events(stop.signal, registry.state().lastEventId)
  await run(3)
  for await (const event of events) {
    if (event.type !== 'incident') continue
    expect(event).toMatchObject({ bundle: 'support', reason: 'ToolFailed', file: 'tools/weather.ts' })
    break
  }
  expect(state()).toEqual({ active: revision, mount: revision })
})

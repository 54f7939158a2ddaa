import { afterEach, describe, expect, test } from '@jest/globals'
import { createMetrics } from '../metrics.ts'
import { bundleFrom } from './files/bundle.fixture.ts'
import { agent, request, settings } from './registry/registry.fixture.ts'
import { keptLog, toolSaying, until } from './reload/reload.fixture.ts'
import { createRuntime } from './runtime.ts'
import { createToolHost, type Isolation } from './tools/index.ts'

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
  const run = async (times: number, name = 'support') => {
    for (let count = 0; count < times; count += 1) await runs.start({ kind: 'agents', name, message: 'go' }).ended
  }
  const state = () => registry.state().bundles.support
  const good = (await show({})).revision
  return { ...kept, registry, hotReload, metricsText, runs, show, run, state, good }
}

describe.each(['none', 'process'] as const)('with isolation %s', (isolation) => {
  test.each([
    ['throws', tool('() => { throw new Error("no sun") }'), 'ToolFailed'],
    ['takes too long', tool('() => new Promise(() => undefined)'), 'ToolTimeout'],
    ['returns no JSON', tool('() => 1n'), 'InvalidToolResult'],
  ])('a new version whose tool %s is gone back from', async (_, source, reason) => {
    const { show, run, state, good } = await served(isolation)
    await show({ 'tools/weather.ts': source })
    await run(3)
    await until('it went back', () => state()?.active === good)
    expect(state()?.candidate).toMatchObject({ outcome: 'reverted', error: { file: 'tools/weather.ts' } })
    expect(state()?.candidate?.error?.message).toContain(`3 of its first 3 calls failed, most with ${reason}: `)
  })

  test('a new version whose extension fails is gone back from, though no run fails', async () => {
    const { show, run, state, good } = await served(isolation)
    await show({ 'extensions/run_start/_10_x.ts': 'export default { execute() { throw new Error("no") } }\n' })
    await run(3)
    await until('it went back', () => state()?.active === good)
    expect(state()?.candidate?.error?.file).toBe('extensions/run_start/_10_x.ts')
  })

  test('arguments that the model gets wrong speak against no version', async () => {
    const { show, run, state } = await served(isolation)
    const { revision } = await show({ 'prompts/a.md': 'a' })
    await run(6, 'careless')
    expect(state()).toMatchObject({ active: revision })
  })

  test('calls of runs that were cancelled speak against no version', async () => {
    const { show, runs, state } = await served(isolation)
    const { revision } = await show({ 'tools/weather.ts': tool('() => new Promise(() => undefined)') })
    for (let count = 0; count < 4; count += 1) {
      const run = runs.start({ kind: 'agents', name: 'support', message: 'go' })
      for await (const { type } of run.events) if (type === 'toolStarted') run.cancel('enough')
    }
    expect(state()).toMatchObject({ active: revision })
  })
})

test('a process of tools that dies again and again is gone back from', async () => {
  const { show, run, state, good } = await served('process')
  await show({ 'tools/weather.ts': tool('() => { process.abort() }') })
  await run(3)
  await until('it went back', () => state()?.active === good)
  expect(state()?.candidate?.error?.message).toContain('most with ToolFailed: ')
})

test('it is told in history, metrics and log', async () => {
  const { show, run, state, good, hotReload, metricsText, lines } = await served('none')
  const { revision } = await show({ 'tools/weather.ts': tool('() => { throw new Error("no sun") }') })
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
  const { revision } = await show({ 'tools/weather.ts': tool('() => { throw new Error("no sun") }') })
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

import { afterEach, beforeEach, expect, test } from '@jest/globals'
import {
  agentSpec,
  type Definition,
  type RuntimeEvent,
  runtimeEvent,
  settingsSpec,
  teamSpec,
  workflowSpec,
} from '../src/api/index.ts'
import { ask, startRuntime, type TestRuntime } from './support/runtime.ts'

const script = [{ match: '.*', reply: 'hello' }]
const DEFINITIONS: Definition[] = [
  {
    kind: 'Settings',
    name: 'default',
    spec: settingsSpec.parse({ models: [{ name: 'default', provider: 'scripted', script }] }),
  },
  { kind: 'Agent', name: 'a', spec: agentSpec.parse({}) },
  { kind: 'Team', name: 't', spec: teamSpec.parse({ members: [{ agent: 'a' }] }) },
  { kind: 'Workflow', name: 'w', spec: workflowSpec.parse({ steps: [{ name: 's', agent: 'a' }] }) },
]
const signed = (by: string) => ({
  '_10_sign.run_end.extension.ts': `export default { execute: ({ content }) => ({ content: content + ' ${by}' }) }`,
})

let runtime: TestRuntime
beforeEach(async () => {
  runtime = await startRuntime()
  await runtime.declare(...DEFINITIONS)
})
afterEach(() => runtime.stop())

const say = async (path = 'agents/a') => (await ask(runtime.url, path, 'hi')).body.content
async function firstOf(events: AsyncIterable<RuntimeEvent>, count: number): Promise<RuntimeEvent[]> {
  const seen: RuntimeEvent[] = []
  for await (const event of events) {
    seen.push(event)
    if (seen.length === count) break
  }
  return seen
}
const digestsOf = () =>
  Object.fromEntries(
    Object.entries(runtime.registry.state().items).map(([id, { active }]) => [id, active?.digest ?? '']),
  )

test('an extension is live with its save, for agents, leaders and agents within workflows, and gone with its file', async () => {
  expect(await say()).toBe('hello')
  await runtime.files('files', signed('one'))
  expect([await say(), await say('teams/t'), await say('workflows/w')]).toEqual(['hello one', 'hello one', 'hello one'])
  await runtime.files('files', signed('two'))
  expect(await say()).toBe('hello two')
  await runtime.files('files', {})
  expect(await say()).toBe('hello')
})

test('extensions are listed point by point in the order in which they run', async () => {
  const plain = 'export default { execute() {} }'
  await runtime.files('files', {
    'extensions/run_end/_20_b.ts': plain,
    ...signed('one'),
    '_90_z.run_start.extension.ts': plain,
  })
  await runtime.files('later', { 'extensions/run_end/_15_c.ts': plain })
  const listed = (await (await fetch(`${runtime.url}/extensions`)).json()) as { name: string; bundle_hash: string }[]
  expect(listed.map(({ name }) => name)).toEqual(['_90_z', '_10_sign', '_15_c', '_20_b'])
  expect(runtime.registry.state().extensions).toEqual([
    'files/_10_sign.run_end.extension.ts',
    'files/_90_z.run_start.extension.ts',
    'files/extensions/run_end/_20_b.ts',
    'later/extensions/run_end/_15_c.ts',
  ])
  expect(listed[2]).toEqual({
    name: '_15_c',
    point: 'run_end',
    bundle: 'later',
    file: 'extensions/run_end/_15_c.ts',
    bundle_hash: runtime.registry.current.bundles.get('later')?.hash,
  })
})

test('a broken extension never replaces a good one', async () => {
  await runtime.files('files', signed('one'))
  const broken = { '_10_sign.run_end.extension.ts': 'export default { execute: 5 }' }
  expect(await runtime.files('files', broken)).toMatchObject({
    outcome: 'rejected',
    error: { reason: 'InvalidExtension' },
  })
  expect(await say()).toBe('hello one')
})

test('the digests of agents and teams, which extensions change, change with them; others do not', async () => {
  const before = digestsOf()
  await runtime.files('files', signed('one'))
  const one = digestsOf()
  await runtime.files('files', signed('two'))
  const two = digestsOf()
  for (const id of ['agents/a', 'teams/t']) expect(new Set([before[id], one[id], two[id]]).size).toBe(3)
  for (const id of ['workflows/w', 'settings']) expect(new Set([before[id], one[id], two[id]]).size).toBe(1)
})

test('an extension that fails is an incident: told to who follows the runtime, while the run goes on', async () => {
  await runtime.files('files', {
    '_20_bad.run_end.extension.ts': `export default {\n  execute() { throw new Error('oh') } }`,
  })
  const { lastEventId } = runtime.registry.state()
  expect([await say(), await say('teams/t')]).toEqual(['hello', 'hello'])
  const stop = new AbortController()
  const [event] = await firstOf(runtime.registry.events(stop.signal, lastEventId), 1)
  expect(runtimeEvent.parse(event)).toEqual({
    id: expect.any(String),
    type: 'incident',
    at: expect.any(String),
    reason: 'ExtensionFailed',
    message: '_20_bad.run_end.extension.ts failed: oh',
    bundle: 'files',
    file: '_20_bad.run_end.extension.ts',
    line: 2,
    column: expect.any(Number),
    point: 'run_end',
    agent: 'a',
    count: 1,
  })
})

test('calls of extensions are counted by point and result', async () => {
  await runtime.files('files', {
    ...signed('one'),
    '_20_bad.run_end.extension.ts': `export default { execute() { throw new Error('oh') } }`,
  })
  expect(await say()).toBe('hello one')
  const text = await runtime.metricsText()
  expect(text).toContain('midflight_extension_calls_total{point="run_end",result="ok"} 1')
  expect(text).toContain('midflight_extension_calls_total{point="run_end",result="error"} 1')
  expect(runtime.logged()).toContain('_20_bad.run_end.extension.ts failed: oh')
})

import { expect, test } from '@jest/globals'
import { bundleOf } from '../../api/index.ts'
import { filesOf } from '../../runtime/registry/registry.fixture.ts'
import { NAMESPACE, TestUnit } from './unit.fixture.ts'

const NAME = { namespace: NAMESPACE, name: 'main' }

test('every pod is given what is declared, and then nothing more', async () => {
  const world = new TestUnit()
  world.agent('a')
  await world.quiet()
  for (const pod of world.pods) expect(pod.serving['agents/a']).toBe(world.revision('agents/a'))
  const sent = world.pods.map((pod) => pod.sent.length)
  world.wake()
  await world.quiet()
  expect(world.pods.map((pod) => pod.sent.length)).toEqual(sent)
})

test('what one pod refuses is given to none', async () => {
  const world = new TestUnit()
  world.agent('a')
  await world.quiet()
  const good = world.revision('agents/a')
  world.agent('a', { role: 'new' })
  world.pods[1]?.refused.add(world.revision('agents/a'))
  await world.quiet()
  for (const pod of world.pods) expect(pod.serving['agents/a']).toBe(good)
  for (const pod of world.pods)
    expect(pod.calls('activate').flatMap(({ items }) => items['agents/a']?.revision ?? [])).toEqual([good])
  expect(world.unit.view.name).toEqual(NAME)
})
test('an AgentRuntime that declares nothing but its pods comes to rest', async () => {
  const world = new TestUnit(1)
  world.put('AgentRuntime', 'main', {
    adopt: { selector: { matchLabels: { a: 'b' } }, tokenSecretRef: { name: 'management', key: 'token' } },
  })
  await world.quiet()
  expect(world.pods[0]?.registry.state().complete).toBe(true)
})

test('a bundle that is mended by what the pods serve already is news to everything that uses it', async () => {
  const world = new TestUnit(1)
  world.runtime({ bundles: [{ name: 'files', configMap: 'files' }] })
  world.agent('a')
  const good = { 'a.prompt.md': 'good' }
  const bad = { 'a.prompt.md': 'bad' }
  world.configMap('files', good)
  await world.quiet()
  world.pods[0]?.refused.add(bundleOf('files', filesOf(bad)).hash)
  world.configMap('files', bad)
  await world.quiet()
  expect([...world.unit.view.verdicts.keys()]).toEqual(['bundle/files'])
  world.touched.length = 0
  world.configMap('files', good)
  await world.quiet()
  expect([...world.unit.view.verdicts.keys()]).toEqual([])
  expect(world.touched).toContain('all')
})

test('a key that goes while it is used is news to everything of the AgentRuntime, as its settings wait', async () => {
  const world = new TestUnit(1)
  const apiKey = { secretKeyRef: { name: 'llm', key: 'key' } }
  world.dependents.put('Secret', 'llm', { key: 'x' })
  world.runtime({
    models: [{ name: 'default', provider: 'openai-compatible', model: 'm', baseURL: 'https://x', apiKey }],
  })
  world.agent('a')
  await world.quiet()
  expect(world.pods[0]?.serving['agents/a']).toBe(world.revision('agents/a'))
  world.touched.length = 0
  world.dependents.put('Secret', 'llm', {})
  world.wake()
  await world.quiet()
  expect(world.pods[0]?.registry.state().items.settings?.candidate?.error?.reason).toBe('SecretNotFound')
  expect(world.touched).not.toContain('settings')
  expect(world.touched.at(-1)).toBe('all')
})

test('where pods come back after there were none, what is said of them settles anew', async () => {
  const world = new TestUnit(2)
  world.agent('a')
  await world.quiet()
  await world.pass(10_000)
  expect(world.unit.unsettledMs('agents/a')).toBeGreaterThanOrEqual(9_000)
  world.pods[0]?.restart()
  await world.pass(5_000)
  expect(world.unit.unsettledMs('agents/a')).toBeGreaterThanOrEqual(5_000)
  for (const pod of world.pods) pod.isReachable = false
  for (const pod of world.pods) pod.restart()
  await world.pass(5_000)
  for (const pod of world.pods) pod.isReachable = true
  await world.pass(2_000)
  expect(world.unit.unsettledMs('agents/a')).toBeLessThan(3_000)
})

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  type ApplyRequest,
  agentSpec,
  bundleOf,
  type Definition,
  definitionRevision,
  settingsSpec,
} from '../../api/index.ts'
import { Registry } from '../../runtime/registry/index.ts'
import { FakeLoader, filesOf, loadModel, push } from '../../runtime/registry/registry.fixture.ts'
import type { Desired, RuntimeTarget } from '../ports.ts'
import { difference, isEmpty, podStateOf } from './difference.ts'
import { syncTarget } from './sync.ts'

const SIGNAL = new AbortController().signal
const agent = (name: string, spec: object = {}): Definition => ({ kind: 'Agent', name, spec: agentSpec.parse(spec) })
const SETTINGS: Definition = {
  kind: 'Settings',
  name: 'default',
  spec: settingsSpec.parse({
    models: [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'x' }] }],
  }),
}

function desired(definitions: readonly Definition[], parts: Partial<Desired> = {}): Desired {
  const items = definitions.map((definition) => {
    const id = definition.kind === 'Settings' ? 'settings' : `agents/${definition.name}`
    return [id, { definition, revision: definitionRevision(definition) }] as const
  })
  return {
    owner: 'operator',
    fence: 1,
    claim: 'test',
    items: new Map(items),
    held: new Set(),
    bundles: new Map(),
    kept: new Set(),
    pins: new Map(),
    secrets: new Map(),
    keptSecrets: new Set(),
    isWhole: true,
    ...parts,
  }
}

/** A real registry as a target, and what it was sent. */
function makeTarget() {
  const registry = new Registry({ loadModel, loadBundle: new FakeLoader().load })
  const sent: ApplyRequest[] = []
  const target: RuntimeTarget = {
    state: async () => ({ type: 'state', state: registry.state() }),
    apply: (request) => {
      sent.push(request)
      return registry.apply(request)
    },
    events: (signal, lastEventId) => registry.events(signal, lastEventId),
  }
  return { registry, target, sent }
}

describe('syncTarget', () => {
  test('brings a new target to what is desired, and then sends nothing more', async () => {
    const { registry, target, sent } = makeTarget()
    const want = desired([SETTINGS, agent('a', { tools: ['x'] })], {
      bundles: new Map([['b', push({ 'tools/x.ts': '1' })]]),
    })
    const response = await syncTarget(target, want, SIGNAL)
    expect(response?.items['agents/a']?.outcome).toBe('activated')
    expect(registry.state().complete).toBe(true)
    expect(await syncTarget(target, want, SIGNAL)).toBeUndefined()
    expect(sent).toHaveLength(1)
  })

  test('sends only what changed', async () => {
    const { target, sent } = makeTarget()
    await syncTarget(target, desired([SETTINGS, agent('a'), agent('b')]), SIGNAL)
    await syncTarget(target, desired([SETTINGS, agent('a', { role: 'new' }), agent('b')]), SIGNAL)
    expect(Object.keys(sent[1]?.items ?? {})).toEqual(['agents/a'])
  })

  test('does not send again what the target refused or waits to serve', async () => {
    const { target, sent } = makeTarget()
    const want = desired([SETTINGS, agent('a', { tools: ['missing'] })], {
      bundles: new Map([['b', push({ 'tools/x.ts': 'broken' })]]),
    })
    await syncTarget(target, want, SIGNAL)
    await syncTarget(target, want, SIGNAL)
    expect(sent).toHaveLength(1)
  })

  test('sends the good version again after a bad one was refused', async () => {
    const { registry, target } = makeTarget()
    await syncTarget(target, desired([SETTINGS, agent('a')]), SIGNAL)
    await syncTarget(target, desired([SETTINGS, agent('a', { tools: ['missing'] })]), SIGNAL)
    await syncTarget(target, desired([SETTINGS, agent('a')]), SIGNAL)
    expect(registry.state().items['agents/a']?.candidate).toBeUndefined()
  })

  test('removes what is no longer declared, and keeps what is held and what the API added', async () => {
    const { registry, target } = makeTarget()
    await syncTarget(target, desired([SETTINGS, agent('gone'), agent('held')]), SIGNAL)
    await registry.add(agent('added'))
    await syncTarget(target, desired([SETTINGS], { held: new Set(['agents/held']) }), SIGNAL)
    expect([...registry.current.agents.keys()].sort()).toEqual(['added', 'held'])
  })

  test('a removal that waits is taken back when the item is declared again', async () => {
    const { registry, target, sent } = makeTarget()
    const user = agent('user', { agents: ['used'] })
    await syncTarget(target, desired([SETTINGS, agent('used'), user]), SIGNAL)
    await syncTarget(target, desired([SETTINGS, user]), SIGNAL)
    await syncTarget(target, desired([SETTINGS, user]), SIGNAL)
    expect(sent).toHaveLength(2)
    await syncTarget(target, desired([SETTINGS, agent('used'), user]), SIGNAL)
    await syncTarget(target, desired([SETTINGS, agent('used')]), SIGNAL)
    expect([...registry.current.agents.keys()]).toEqual(['used'])
  })

  test('does not ask again to remove a bundle that something still uses', async () => {
    const { registry, target, sent } = makeTarget()
    const user = agent('user', { tools: ['x'] })
    const bundles = new Map([['b', push({ 'tools/x.ts': '1' })]])
    await syncTarget(target, desired([SETTINGS, user], { bundles }), SIGNAL)
    await syncTarget(target, desired([SETTINGS, user]), SIGNAL)
    await syncTarget(target, desired([SETTINGS, user]), SIGNAL)
    expect(sent).toHaveLength(2)
    expect(registry.state().bundles.b?.candidate).toMatchObject({ outcome: 'pending' })
    await syncTarget(target, desired([SETTINGS, user], { bundles }), SIGNAL)
    await syncTarget(target, desired([SETTINGS]), SIGNAL)
    expect(registry.state().bundles).toEqual({})
  })

  test('leaves mounted bundles alone and drops pushed ones that are not desired', async () => {
    const { registry, target } = makeTarget()
    await registry.offer(bundleOf('mount', filesOf({ 'tools/m.ts': '1' })))
    await syncTarget(
      target,
      desired([SETTINGS], { kept: new Set(['mount']), bundles: new Map([['b', push({})]]) }),
      SIGNAL,
    )
    await syncTarget(target, desired([SETTINGS], { kept: new Set(['mount']) }), SIGNAL)
    expect([...registry.current.bundles.keys()]).toEqual(['mount'])
  })

  test('sends secrets by version and forgets those that are gone', async () => {
    const { registry, target, sent } = makeTarget()
    await syncTarget(target, desired([SETTINGS], { secrets: new Map([['a/k', { version: '1', value: 'v' }]]) }), SIGNAL)
    await syncTarget(target, desired([SETTINGS], { secrets: new Map([['a/k', { version: '2', value: 'w' }]]) }), SIGNAL)
    expect(sent[1]?.secrets).toEqual({ 'a/k': { version: '2', value: 'w' } })
    await syncTarget(target, desired([SETTINGS]), SIGNAL)
    expect(registry.state().secrets).toEqual({})
  })

  const AGENTS = ['a', 'b', 'c', 'd']
  const spec = fc.record(
    {
      maxSteps: fc.integer({ min: 1, max: 3 }),
      agents: fc.subarray(AGENTS.slice(0, 3)),
      tools: fc.subarray(['x', 'y']),
    },
    { requiredKeys: [] },
  )
  const world = fc.record({
    agents: fc.dictionary(fc.constantFrom(...AGENTS), spec, { maxKeys: 4, noNullPrototype: true }),
    held: fc.subarray(AGENTS.map((name) => `agents/${name}`)),
    bundles: fc.dictionary(fc.constantFrom('f', 'g'), fc.constantFrom('1', '2', 'broken'), { noNullPrototype: true }),
    isPinned: fc.boolean(),
    secrets: fc.dictionary(fc.constantFrom('s/k', 's/l'), fc.constantFrom('1', '2'), { noNullPrototype: true }),
  })
  type World = typeof world extends fc.Arbitrary<infer W> ? W : never

  function desiredIn({ agents, held, bundles, isPinned, secrets }: World): Desired {
    const pushed = Object.entries(bundles).map(([name, text]) => [name, push({ 'tools/x.ts': text })] as const)
    return desired([SETTINGS, ...Object.entries(agents).map(([name, value]) => agent(name, value))], {
      held: new Set(held),
      bundles: new Map(pushed),
      pins: new Map(isPinned ? pushed.map(([name, { hash }]) => [name, hash]) : []),
      secrets: new Map(Object.entries(secrets).map(([id, version]) => [id, { version, value: 'v' }])),
    })
  }

  test('any sequence of desired states ends, after one sync each, with nothing left to send', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(world, { minLength: 1, maxLength: 6 }), async (worlds) => {
        const { registry, target } = makeTarget()
        for (const each of worlds) {
          const want = desiredIn(each)
          await syncTarget(target, want, SIGNAL)
          const rest = difference(podStateOf(registry.state()), want)
          expect({ rest, isEmpty: isEmpty(rest) }).toMatchObject({ isEmpty: true })
        }
      }),
      { numRuns: 150, seed: 32 },
    )
  })

  test('no way that it took makes a difference to what serves, once nothing is refused or waits', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(world, { minLength: 1, maxLength: 5 }), async (worlds) => {
        const { registry, target } = makeTarget()
        for (const each of worlds) await syncTarget(target, desiredIn(each), SIGNAL)
        const last = worlds.at(-1)
        if (last === undefined) return
        const sound = {
          ...last,
          held: [],
          agents: Object.fromEntries(Object.keys(last.agents).map((name) => [name, {}])),
        }
        const bundles = Object.fromEntries(Object.keys(last.bundles).map((name) => [name, '1' as const]))
        const want = desiredIn({ ...sound, bundles })
        await syncTarget(target, want, SIGNAL)
        const straight = makeTarget()
        await syncTarget(straight.target, want, SIGNAL)
        const shown = ({ items, bundles: files, secrets, pins }: ReturnType<typeof registry.state>) => ({
          items,
          bundles: files,
          secrets,
          pins,
        })
        expect(shown(registry.state())).toEqual(shown(straight.registry.state()))
      }),
      { numRuns: 100, seed: 33 },
    )
  })
})

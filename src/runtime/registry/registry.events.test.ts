import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  bundleOf,
  type Definition,
  type RuntimeEvent,
  type RuntimeState,
  runtimeEvent,
  runtimeState,
} from '../../api/index.ts'
import { agent, filesOf, makeRegistry, push, request, serving, settings, team, V1, V2 } from './registry.fixture.ts'
import type { Registry } from './registry.ts'

type Mirrored = Pick<RuntimeState, 'items' | 'bundles' | 'lastEventId'>

/** What a reader makes of a state and the events after it. */
function mirror(state: Mirrored, events: readonly RuntimeEvent[]): Mirrored {
  const items = new Map(Object.entries(state.items))
  const bundles = new Map(Object.entries(state.bundles))
  let { lastEventId } = state
  for (const event of events) {
    lastEventId = event.id
    if (event.type === 'activated' || event.type === 'rejected') replace(items, event.item, event.state)
    if (event.type === 'bundle') replace(bundles, event.bundle, event.state)
  }
  return { items: Object.fromEntries(items), bundles: Object.fromEntries(bundles), lastEventId }
}

function replace<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}

/** The events after an id that are there already. */
async function eventsAfter(registry: Registry, id: string): Promise<RuntimeEvent[]> {
  const { lastEventId } = registry.state()
  const stop = new AbortController()
  const seen: RuntimeEvent[] = []
  if (id === lastEventId) return seen
  for await (const event of registry.events(stop.signal, id)) {
    seen.push(runtimeEvent.parse(event))
    if (event.id === lastEventId) stop.abort()
  }
  return seen
}

const FILES = [V1, V2, { 'tools/other.ts': '1' }, { 'tools/weather.ts': 'broken' }]
const filesAt = (index: number) => FILES[index] ?? V1
const KEYED = { name: 'default', provider: 'openai', model: 'x', apiKey: { secretKeyRef: { name: 'llm', key: 'k' } } }
const SETTINGS: readonly Definition[] = [
  settings(),
  settings({ models: [KEYED] }),
  settings({ tools: { timeoutSeconds: 5 } }),
  settings({ bundles: [{ name: 'x', configMap: 'x' }] }),
]
const AGENTS: readonly object[] = [
  {},
  { tools: ['weather'] },
  { tools: ['*'] },
  { agents: ['a', 'b'] },
  { prompt: { file: 'a.md' } },
]

const name = fc.constantFrom('a', 'b', 'c')
const bundle = fc.constantFrom('x', 'y')
const step = fc.oneof(
  fc.record({ type: fc.constant('agent' as const), name, spec: fc.nat(4) }),
  fc.record({ type: fc.constant('malformed' as const), name }),
  fc.record({ type: fc.constant('removeAgent' as const), name }),
  fc.record({ type: fc.constant('team' as const), name }),
  fc.record({ type: fc.constant('settings' as const), which: fc.nat(3) }),
  fc.record({ type: fc.constant('removeSettings' as const) }),
  fc.record({ type: fc.constant('secret' as const), version: fc.nat(2) }),
  fc.record({ type: fc.constant('push' as const), bundle, files: fc.nat(3) }),
  fc.record({ type: fc.constant('removeBundle' as const), bundle }),
  fc.record({ type: fc.constant('mount' as const), bundle, files: fc.nat(3) }),
  fc.record({ type: fc.constant('unreadable' as const), bundle }),
  fc.record({ type: fc.constant('withdraw' as const), bundle }),
  fc.record({ type: fc.constant('pins' as const), bundle, files: fc.option(fc.nat(3), { nil: undefined }) }),
  fc.record({ type: fc.constant('add' as const), name, spec: fc.nat(4) }),
  fc.record({ type: fc.constant('delete' as const), name }),
  fc.record({ type: fc.constant('check' as const), bundle, files: fc.nat(3), name, spec: fc.nat(4) }),
)
const history = fc.tuple(fc.array(step, { maxLength: 25 }), fc.constantFrom('all' as const, 'named' as const))
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

async function take(registry: Registry, taken: Step): Promise<unknown> {
  switch (taken.type) {
    case 'agent':
      return registry.apply(request({ definitions: [agent(taken.name, AGENTS[taken.spec])] }))
    case 'malformed': {
      const body = request({ definitions: [agent(taken.name)] })
      for (const item of Object.values(body.items)) item.definition = { kind: 'Agent', spec: 1 }
      return registry.apply(body)
    }
    case 'removeAgent':
      return registry.apply(request({ remove: { items: [`agents/${taken.name}`] } }))
    case 'team':
      return registry.apply(request({ definitions: [team('t', taken.name)] }))
    case 'settings':
      return registry.apply(request({ definitions: [SETTINGS[taken.which] ?? settings()] }))
    case 'removeSettings':
      return registry.apply(request({ remove: { items: ['settings'] } }))
    case 'secret':
      return taken.version === 0
        ? registry.apply(request({ remove: { secrets: ['llm/k'] } }))
        : registry.apply(request({ secrets: { 'llm/k': { version: `${taken.version}`, value: 'key' } } }))
    case 'push':
      return registry.apply(request({ bundles: { [taken.bundle]: push(filesAt(taken.files)) } }))
    case 'removeBundle':
      return registry.apply(request({ remove: { bundles: [taken.bundle] } }))
    case 'mount':
      return registry.offer(bundleOf(taken.bundle, filesOf(filesAt(taken.files))))
    case 'unreadable':
      return registry.refuse(taken.bundle, { reason: 'DirectoryNotFound', message: 'gone' })
    case 'withdraw':
      return registry.withdraw(taken.bundle)
    case 'pins':
      return registry.apply(
        request({ pins: taken.files === undefined ? {} : { [taken.bundle]: push(filesAt(taken.files)).hash } }),
      )
    case 'add':
      return registry.add(agent(taken.name, AGENTS[taken.spec])).catch(() => undefined)
    case 'delete':
      return registry.remove('agents', taken.name).catch(() => undefined)
    case 'check': {
      const before = registry.state()
      await registry.apply(
        request({
          mode: 'check',
          fence: 99,
          claim: 'test',
          definitions: [agent(taken.name, AGENTS[taken.spec]), settings({ models: [KEYED] })],
          bundles: { [taken.bundle]: push(filesAt(taken.files)) },
          secrets: { 'llm/k': { version: 'checked', value: 'key' } },
          remove: { items: ['teams/t'], bundles: ['y'] },
          pins: { x: push(V1).hash },
          complete: { expected: 1 },
          release: true,
        }),
      )
      expect(registry.state()).toEqual(before)
      return undefined
    }
  }
}

describe('state and events', () => {
  test('tell the same: a state and the events after it are the state now, whatever came in between', async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.nat(24), fc.nat(3), async ([steps, mountsTaken], readAt, together) => {
        const { registry } = makeRegistry({ mountsTaken })
        let mirrored: Mirrored = registry.state()
        for (const [index, each] of steps.entries()) {
          if (index === readAt) mirrored = registry.state()
          // Some arrivals are under way at the same time.
          if (each.type === 'check' || index % (together + 1) === 0) await take(registry, each)
          else
            await Promise.all([
              take(registry, each),
              registry.apply(request({ bundles: { x: push(filesAt(index % 4)) } })),
            ])
          await registry.tick()
        }
        const now = registry.state()
        expect(runtimeState.parse(now)).toEqual(now)
        const { items, bundles, lastEventId } = now
        const events = await eventsAfter(registry, mirrored.lastEventId)
        expect(mirror(mirrored, events)).toEqual({ items, bundles, lastEventId })
        const numbers = events.map(({ id }) => Number(id.split('/')[1]))
        const first = Number(mirrored.lastEventId.split('/')[1]) + 1
        expect(numbers).toEqual(numbers.map((_, offset) => first + offset))
      }),
      { numRuns: 200, seed: 11 },
    )
  })

  test('tell a waiting item again when it waits for something else, and when a bundle changes its digest', async () => {
    const { registry } = await serving()
    await registry.apply(request({ definitions: [agent('b', { tools: ['gone'], agents: ['nobody'] })] }))
    const { lastEventId } = registry.state()
    await registry.apply(request({ bundles: { files: push(V2), more: push({ 'tools/gone.ts': '1' }) } }))
    const events = await eventsAfter(registry, lastEventId)
    expect(events.map((event) => ('item' in event ? [event.type, event.item] : [event.type]))).toEqual([
      ['activated', 'agents/support'],
      ['rejected', 'agents/b'],
      ['bundle'],
      ['bundle'],
    ])
    expect(events[1]).toMatchObject({ state: { candidate: { error: { reason: 'AgentNotFound' } } } })
  })

  test('name the bundles that an item uses, sorted, and none where it uses none', async () => {
    const { registry } = await serving({ tools: ['weather', 'more'], prompt: { file: 'a.md' } })
    await registry.apply(
      request({ definitions: [agent('plain')], bundles: { another: push({ 'tools/more.ts': '1' }) } }),
    )
    const { items } = registry.state()
    expect(items['agents/support']?.active?.bundles).toEqual(['another', 'files'])
    expect(items['agents/plain']?.active).not.toHaveProperty('bundles')
  })

  test('an answer names the last event of its call, and the same one when nothing changed', async () => {
    const { registry } = makeRegistry()
    const first = await registry.apply(request({ definitions: [settings(), agent('a')] }))
    expect(first.lastEventId).toBe('boot/2')
    const again = await registry.apply(request({ definitions: [settings(), agent('a')] }))
    expect(again.lastEventId).toBe('boot/2')
  })

  test('of three thousand items one that changes is one event, and the others are not looked at closely', async () => {
    const { registry } = makeRegistry()
    const many = Array.from({ length: 3_000 }, (_, index) => agent(`a${index}`))
    await registry.apply(request({ definitions: [settings(), ...many] }))
    const { lastEventId, items } = registry.state()
    await registry.apply(request({ definitions: [agent('a7', { role: 'other' })] }))
    const events = await eventsAfter(registry, lastEventId)
    expect(events.map((event) => ('item' in event ? event.item : event.type))).toEqual(['agents/a7'])
    expect(registry.state().items['agents/a8']).toBe(items['agents/a8'])
  })
})

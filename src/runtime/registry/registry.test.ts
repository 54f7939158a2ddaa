import { describe, expect, test } from '@jest/globals'
import {
  applyResponse,
  bundleOf,
  definitionRevision,
  type RuntimeEvent,
  runtimeEvent,
  runtimeState,
} from '../../api/index.ts'
import {
  agent,
  FakeTools,
  filesOf,
  makeRegistry,
  push,
  request,
  serving,
  settings,
  team,
  V1,
  V2,
} from './registry.fixture.ts'

describe('apply', () => {
  test('activates items and bundles together and answers with revision and digest', async () => {
    const { registry } = makeRegistry()
    const support = agent('support', { tools: ['weather'] })
    const response = await registry.apply(request({ definitions: [settings(), support], bundles: { files: push(V1) } }))
    expect(applyResponse.parse(response)).toEqual(response)
    expect(response.items['agents/support']).toEqual({
      outcome: 'activated',
      revision: definitionRevision(support),
      digest: registry.current.agents.get('support')?.digest,
    })
    expect(response.bundles.files?.outcome).toBe('activated')
    expect(registry.current.tools.get('weather')?.bundle.name).toBe('files')
    expect(registry.current.tools.get('files/weather')).toBe(registry.current.tools.get('weather'))
  })

  test('a second time changes nothing: same snapshot, no event', async () => {
    const { registry } = await serving()
    const before = registry.current
    const again = request({
      definitions: [settings(), agent('support', { tools: ['weather'] })],
      bundles: { files: push(V1) },
    })
    const { items, bundles } = await registry.apply(again)
    expect([...Object.values(items), ...Object.values(bundles)].map(({ outcome }) => outcome)).toEqual([
      'unchanged',
      'unchanged',
      'unchanged',
    ])
    expect(registry.current).toBe(before)
  })

  test('a bad bundle is refused with its place; the last good one goes on serving', async () => {
    const { registry } = await serving()
    const before = registry.current
    const bad = push({ 'tools/weather.ts': 'broken' })
    const { bundles } = await registry.apply(request({ bundles: { files: bad } }))
    expect(bundles.files).toEqual({
      outcome: 'rejected',
      revision: bad.hash,
      error: { reason: 'InvalidSyntax', message: 'broken', file: 'tools/weather.ts', line: 1, column: 1 },
    })
    expect(registry.current).toBe(before)
    expect(registry.state().bundles.files).toMatchObject({
      active: push(V1).hash,
      candidate: { hash: bad.hash, outcome: 'rejected' },
    })
  })

  test('a good bundle after a bad one serves and clears the candidate', async () => {
    const { registry } = await serving()
    await registry.apply(request({ bundles: { files: push({ 'tools/weather.ts': 'broken' }) } }))
    await registry.apply(request({ bundles: { files: push(V2) } }))
    expect(registry.state().bundles.files).toEqual({ active: push(V2).hash })
  })

  test('going back to what serves clears the candidate', async () => {
    const { registry } = await serving()
    await registry.apply(request({ bundles: { files: push({ 'tools/weather.ts': 'broken' }) } }))
    const { bundles } = await registry.apply(request({ bundles: { files: push(V1) } }))
    expect(bundles.files?.outcome).toBe('unchanged')
    expect(registry.state().bundles.files).toEqual({ active: push(V1).hash })
    const tools = registry.current.bundles.get('files')?.tools
    expect(tools instanceof FakeTools && tools.disposed).toBe(0)
  })

  test('an item that does not parse is refused alone', async () => {
    const { registry } = makeRegistry()
    const body = request({ definitions: [settings(), agent('good'), agent('bad')] })
    const bad = body.items['agents/bad']
    if (bad) bad.definition = { kind: 'Agent', name: 'bad', spec: { maxSteps: 'many' } }
    const { items } = await registry.apply(body)
    expect(items['agents/good']?.outcome).toBe('activated')
    expect(items['agents/bad']).toMatchObject({
      outcome: 'rejected',
      error: { reason: 'InvalidSpec', path: 'spec.maxSteps' },
    })
  })

  test('an item that waits for a tool is activated when the bundle arrives', async () => {
    const { registry } = makeRegistry()
    const first = await registry.apply(request({ definitions: [settings(), agent('support', { tools: ['weather'] })] }))
    expect(first.items['agents/support']).toMatchObject({
      outcome: 'pending',
      error: { reason: 'ToolNotFound', path: 'spec.tools[0]' },
    })
    expect(registry.state().items['agents/support']?.active).toBeUndefined()
    await registry.offer(bundleOf('files', filesOf(V1)))
    expect(registry.current.agents.get('support')).toBeDefined()
  })

  test('a model without its Secret makes only its agents wait, and the Secret lets them serve', async () => {
    const { registry } = makeRegistry()
    const keyed = {
      name: 'gpt',
      provider: 'openai',
      model: 'x',
      apiKey: { secretKeyRef: { name: 'llm', key: 'openai' } },
    }
    const scripted = { name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'hi' }] }
    const definitions = [settings({ models: [keyed, scripted] }), agent('a', { model: 'gpt' }), agent('b')]
    const { items } = await registry.apply(request({ definitions }))
    expect(items['agents/b']?.outcome).toBe('activated')
    expect(items['agents/a']).toMatchObject({
      outcome: 'pending',
      error: { reason: 'SecretNotFound', path: 'spec.model' },
    })
    await registry.apply(request({ secrets: { 'llm/openai': { version: '1', value: 'sk-canary' } } }))
    expect(registry.current.agents.has('a')).toBe(true)
    expect(JSON.stringify(registry.state())).not.toContain('sk-canary')
    const first = registry.current.models.get('gpt')
    await registry.apply(request({ secrets: { 'llm/openai': { version: '2', value: 'sk-canary-2' } } }))
    expect(registry.current.models.get('gpt')).not.toBe(first)
  })

  test('losing a Secret keeps the model that was made with it', async () => {
    const { registry } = makeRegistry()
    const keyed = {
      name: 'gpt',
      provider: 'openai',
      model: 'x',
      apiKey: { secretKeyRef: { name: 'llm', key: 'openai' } },
    }
    const definitions = [settings({ models: [keyed] }), agent('a', { model: 'gpt' })]
    await registry.apply(request({ definitions, secrets: { 'llm/openai': { version: '1', value: 'k' } } }))
    await registry.apply(request({ remove: { secrets: ['llm/openai'] } }))
    expect(registry.current.models.has('gpt')).toBe(true)
    expect(registry.state().items.settings?.candidate).toMatchObject({
      outcome: 'pending',
      error: { reason: 'SecretNotFound' },
    })
  })

  test('check says what would happen and changes nothing', async () => {
    const { registry, loader } = await serving()
    const before = JSON.stringify(registry.state())
    const { bundles, items } = await registry.apply(
      request({ mode: 'check', definitions: [agent('support', { tools: ['gone'] })], bundles: { files: push(V2) } }),
    )
    expect(bundles.files?.outcome).toBe('checked')
    expect(items['agents/support']?.outcome).toBe('pending')
    expect(JSON.stringify(registry.state())).toBe(before)
    const tried = loader.loaded.at(-1)?.tools
    expect(tried instanceof FakeTools && tried.disposed).toBe(0)
  })

  test('removes an item, but not while another needs it', async () => {
    const { registry } = makeRegistry()
    await registry.apply(request({ definitions: [settings(), agent('a'), team('t', 'a')] }))
    const { items } = await registry.apply(request({ remove: { items: ['agents/a'] } }))
    expect(items['agents/a']).toMatchObject({ outcome: 'pending', error: { reason: 'StillReferenced' } })
    expect(registry.current.agents.has('a')).toBe(true)
    await registry.apply(request({ remove: { items: ['teams/t'] } }))
    expect(registry.current.agents.has('a')).toBe(false)
  })

  test('of two loads of one bundle the later arrival wins, even when the earlier takes longer', async () => {
    const { registry, loader } = await serving()
    const gate = Promise.withResolvers<void>()
    loader.gates.set(push(V2).hash, gate.promise)
    const slow = registry.apply(request({ bundles: { files: push(V2) } }))
    const V3 = { ...V1, 'tools/weather.ts': 'snow' }
    await registry.apply(request({ bundles: { files: push(V3) } }))
    gate.resolve()
    expect((await slow).bundles.files).toMatchObject({ outcome: 'pending', error: { reason: 'Superseded' } })
    const disposed = loader.loaded.map(({ hash, tools }) => [hash, tools instanceof FakeTools && tools.disposed])
    expect(disposed).toContainEqual([push(V2).hash, 1])
    expect(registry.current.bundles.get('files')?.hash).toBe(push(V3).hash)
  })

  test('loads a refused bundle again when the settings allow its package', async () => {
    const { registry } = makeRegistry()
    const { bundles } = await registry.apply(
      request({ definitions: [settings()], bundles: { files: push({ 'tools/z.ts': 'zod' }) } }),
    )
    expect(bundles.files?.error?.reason).toBe('PackageNotAllowed')
    await registry.apply(request({ definitions: [settings({ tools: { packages: ['zod'] } })] }))
    expect(registry.current.tools.has('z')).toBe(true)
  })

  test('loads a bundle under the settings of the same call, once', async () => {
    const { registry, loader } = makeRegistry()
    const definitions = [settings({ tools: { packages: ['zod'] } })]
    const { bundles } = await registry.apply(
      request({ definitions, bundles: { files: push({ 'tools/z.ts': 'zod' }) } }),
    )
    expect(bundles.files?.outcome).toBe('activated')
    expect(loader.packages).toEqual([['zod']])
  })

  test('names such as constructor are names like any other', async () => {
    const { registry } = makeRegistry()
    await registry.apply(
      request({
        definitions: [settings(), agent('constructor', { tools: ['toString'] })],
        bundles: { constructor: push({ 'tools/toString.ts': '1' }) },
      }),
    )
    expect(registry.current.agents.get('constructor')?.definition.name).toBe('constructor')
    expect(registry.state().items['agents/constructor']?.active).toBeDefined()
    expect(registry.current.agents.get('toString')).toBeUndefined()
  })
})

describe('snapshots', () => {
  test('are not changed by what comes later, and hold their bundle version until released', async () => {
    const { registry, loader } = await serving()
    const pinned = registry.pin()
    await registry.apply(request({ bundles: { files: push(V2) } }))
    expect(
      await pinned.snapshot.tools
        .get('weather')
        ?.bundle.tools.call('weather', {}, { signal: new AbortController().signal }),
    ).toBe('sun')
    expect(registry.bundleVersionsAlive).toBe(2)
    const [old] = loader.loaded
    expect(old?.tools instanceof FakeTools && old.tools.disposed).toBe(0)
    pinned.release()
    pinned.release()
    expect(registry.bundleVersionsAlive).toBe(1)
    expect(old?.tools instanceof FakeTools && old.tools.disposed).toBe(1)
  })

  test('an item’s digest moves with the bundles it uses and the settings, and with nothing else', async () => {
    const { registry } = await serving()
    await registry.apply(request({ definitions: [agent('plain')] }))
    const digests = () => ['support', 'plain'].map((name) => registry.current.agents.get(name)?.digest)
    const [support, plain] = digests()
    await registry.apply(request({ bundles: { files: push(V2), other: push({ 'tools/x.ts': '1' }) } }))
    expect(digests()[0]).not.toBe(support)
    expect(digests()[1]).toBe(plain)
    await registry.apply(request({ definitions: [settings({ tools: { timeoutSeconds: 5 } })] }))
    expect(digests()[1]).not.toBe(plain)
  })

  test('of two bundles with one tool name the earlier in the settings’ order serves it', async () => {
    const { registry } = makeRegistry()
    const order = {
      bundles: [
        { name: 'second', configMap: 's' },
        { name: 'first', configMap: 'f' },
      ],
    }
    const tool = push({ 'tools/x.ts': '1' })
    await registry.apply(request({ definitions: [settings(order)], bundles: { first: tool, second: tool } }))
    expect(registry.current.tools.get('x')?.bundle.name).toBe('second')
    expect(registry.current.tools.get('first/x')?.bundle.name).toBe('first')
  })
})

describe('events and state', () => {
  test('tell every change once, in order, and follow the schema', async () => {
    const { registry } = makeRegistry()
    const stop = new AbortController()
    const seen: RuntimeEvent[] = []
    const reading = (async () => {
      for await (const event of registry.events(stop.signal, 'boot/0')) seen.push(runtimeEvent.parse(event))
    })()
    await registry.apply(request({ definitions: [settings(), agent('a'), agent('b', { tools: ['weather'] })] }))
    await registry.apply(request({ bundles: { files: push(V1) } }))
    await registry.apply(request({ remove: { items: ['agents/a'] } }))
    await registry.offer(bundleOf('files', filesOf({ 'tools/weather.ts': 'broken' })))
    stop.abort()
    await reading
    expect(
      seen.map((event) => [event.type, 'item' in event ? event.item : 'bundle' in event ? event.bundle : '']),
    ).toEqual([
      ['activated', 'settings'],
      ['activated', 'agents/a'],
      ['rejected', 'agents/b'],
      ['activated', 'agents/b'],
      ['bundle', 'files'],
      ['activated', 'agents/a'],
      ['bundle', 'files'],
    ])
    expect(seen.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7].map((sequence) => `boot/${sequence}`))
  })

  test('a reader that comes with an unknown id gets reset and goes on from now', async () => {
    const { registry } = await serving()
    const stop = new AbortController()
    const reader = registry.events(stop.signal, 'otherboot/3')[Symbol.asyncIterator]()
    expect((await reader.next()).value).toMatchObject({ type: 'reset' })
    const next = reader.next()
    await registry.add(agent('late'))
    expect((await next).value).toMatchObject({ type: 'activated', item: 'agents/late' })
    stop.abort()
    expect((await reader.next()).done).toBe(true)
  })

  test('state follows the schema, and is complete after a whole sync', async () => {
    const { registry } = makeRegistry()
    expect(registry.state().complete).toBe(false)
    await registry.apply(
      request({ definitions: [settings(), agent('a', { tools: ['none'] })], complete: { expected: 2 } }),
    )
    const state = registry.state()
    expect(runtimeState.parse(state)).toEqual(state)
    expect(state).toMatchObject({ complete: true, items: { 'agents/a': { candidate: { outcome: 'pending' } } } })
  })

  test('tell runs and errors by digest', async () => {
    const { registry } = await serving()
    const digest = registry.current.agents.get('support')?.digest ?? ''
    registry.recordRun(digest, false)
    registry.recordRun(digest, true)
    expect(registry.state().stats).toEqual({ [digest]: { runs: 2, errors: 1 } })
  })

  test('runs are told as they are now in every event that is read again, so that a day of them is kept once', async () => {
    let time = 0
    const { registry } = makeRegistry({ now: () => time })
    const digest = 'd'.repeat(32)
    for (; time <= 15_000; time += 5_000) {
      registry.recordRun(digest, false)
      await registry.tick()
    }
    const stop = new AbortController()
    const told: RuntimeEvent[] = []
    for await (const event of registry.events(stop.signal, 'boot/0')) {
      told.push(event)
      if (event.id === registry.state().lastEventId) stop.abort()
    }
    const stats = { [digest]: { runs: 4, errors: 0 } }
    expect(told).toEqual([1, 2].map((number) => ({ id: `boot/${number}`, type: 'stats', stats })))
  })

  test('runs are told in an event at most every five seconds, and not at all when there were none', async () => {
    let time = 0
    const { registry } = makeRegistry({ now: () => time })
    const stop = new AbortController()
    const told: RuntimeEvent[] = []
    const reading = (async () => {
      for await (const event of registry.events(stop.signal, 'boot/0')) told.push(event)
    })()
    const digest = 'd'.repeat(32)
    for (; time < 20_000; time += 1_000) {
      if (time < 9_000) registry.recordRun(digest, false)
      await registry.tick()
    }
    stop.abort()
    await reading
    expect(told.map((event) => (event.type === 'stats' ? event.stats[digest]?.runs : event.type))).toEqual([6, 9])
  })
})

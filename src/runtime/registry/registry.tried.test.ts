import { describe, expect, test } from '@jest/globals'
import { type ApplyRequest, ProblemError } from '../../api/index.ts'
import { FakeLoader, FakeTools, makeRegistry, push, request, settings, V1, V2 } from './registry.fixture.ts'

async function tried() {
  let time = 0
  const made = makeRegistry({ now: () => time })
  const { registry, loader } = made
  await registry.apply(request({ definitions: [settings()], bundles: { b: push(V1) } }))
  const check = (parts: Partial<ApplyRequest> = {}) =>
    registry.apply({ ...request({ mode: 'check', bundles: { b: push(V2) } }), ...parts })
  await check()
  const disposedAt = (index: number) => {
    const tools = loader.loaded[index]?.tools
    return tools instanceof FakeTools ? tools.disposed : undefined
  }
  const pass = (ms: number) => {
    time += ms
    return registry.tick()
  }
  return { ...made, check, pass, disposedAt, loads: () => loader.loaded.length }
}

describe('what a check has loaded', () => {
  test('serves when it is activated, without another load', async () => {
    const { registry, loads, disposedAt, pass } = await tried()
    expect(loads()).toBe(2)
    const { bundles } = await registry.apply(request({ bundles: { b: push(V2) } }))
    expect(bundles.b?.outcome).toBe('activated')
    expect(loads()).toBe(2)
    await pass(30_000)
    expect(disposedAt(1)).toBe(0)
    expect(disposedAt(0)).toBe(1)
  })

  test('answers a second check', async () => {
    const { check, loads, disposedAt } = await tried()
    await check()
    expect(loads()).toBe(2)
    expect(disposedAt(1)).toBe(0)
  })

  test('is disposed of when nothing activates it for 30 s', async () => {
    const { registry, loads, pass, disposedAt } = await tried()
    await pass(29_999)
    expect(disposedAt(1)).toBe(0)
    await pass(1)
    expect(disposedAt(1)).toBe(1)
    await registry.apply(request({ bundles: { b: push(V2) } }))
    expect(loads()).toBe(3)
  })

  test('is given up for the next version that is checked', async () => {
    const { check, disposedAt } = await tried()
    await check({ bundles: { b: push({ 'tools/weather.ts': 'snow' }) } })
    expect([disposedAt(1), disposedAt(2)]).toEqual([1, 0])
  })

  test.each<[string, Parameters<typeof request>[0]]>([
    ['packages', { definitions: [settings({ tools: { packages: ['zod'] } })] }],
    ['a secret', { secrets: { 'llm/key': { version: '2', value: 'sk-2' } } }],
    ['the version that serves', { bundles: { b: push({ 'tools/weather.ts': 'snow' }) } }],
  ])('is loaded anew when %s changed in between', async (_what, between) => {
    const { registry, loader } = await tried()
    await registry.apply(request(between))
    const before = loader.loaded.length
    await registry.apply(request({ bundles: { b: push(V2) } }))
    expect(loader.loaded.slice(before).map(({ hash }) => hash)).toEqual([push(V2).hash])
  })

  test('is bounded: of many bundles the first is given up', async () => {
    const { check, disposedAt } = await tried()
    for (let index = 0; index < 16; index++) await check({ bundles: { [`b${index}`]: push(V2) } })
    expect([disposedAt(1), disposedAt(2)]).toEqual([1, 0])
  })
})

describe('a version that no process could be had for', () => {
  async function unavailable() {
    let time = 0
    let isShort = true
    const loader = new FakeLoader()
    const loadBundle: typeof loader.load = (bundle, packages) => {
      const error = new ProblemError({ reason: 'ToolHostUnavailable', message: 'EAGAIN' })
      const loaded = loader.load(bundle, packages)
      return isShort ? loaded.then(() => Promise.reject(error)) : loaded
    }
    const { registry } = makeRegistry({ now: () => time, loadBundle })
    const tries = async (ms: number) => {
      const before = loader.loaded.length
      time += ms
      await registry.tick()
      return loader.loaded.length - before
    }
    const end = () => {
      isShort = false
    }
    const { bundles } = await registry.apply(request({ definitions: [settings()], bundles: { b: push(V1) } }))
    return { registry, tries, end, first: bundles.b }
  }

  test('is refused, and serves without another push as soon as there is one', async () => {
    const { registry, tries, end, first } = await unavailable()
    expect(first).toMatchObject({ outcome: 'rejected', error: { reason: 'ToolHostUnavailable' } })
    end()
    expect(await tries(1_000)).toBe(1)
    expect(registry.state().bundles.b).toEqual({ active: push(V1).hash })
    expect(await tries(60_000)).toBe(0)
  })
  test('is tried again after a second, and then after twice as long each time, at most a minute', async () => {
    const { tries } = await unavailable()
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      expect(await tries(seconds * 1_000 - 1)).toBe(0)
      expect(await tries(1)).toBe(1)
    }
  })
})

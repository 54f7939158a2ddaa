import { describe, expect, test } from '@jest/globals'
import { bundleOf, type Problem } from '../../api/index.ts'
import type { Failed, Settlement } from './observer.ts'
import type { RegistryOptions } from './port.ts'
import { agent, filesOf, makeRegistry, push, request, settings } from './registry.fixture.ts'

const version = (text: string) => ({ 'tools/weather.ts': text })
const hashOf = (text: string) => push(version(text)).hash
const BOOM: Problem = { reason: 'ToolFailed', message: 'tool weather failed: boom', file: 'tools/weather.ts', line: 3 }

/** A registry with a bundle `b`, of which tools are called. */
async function made(options: Partial<RegistryOptions> = {}) {
  const settled: Settlement[] = []
  const failed: Failed[] = []
  const observer = {
    settled: (one: Settlement) => void settled.push(one),
    swapped: () => undefined,
    failed: (one: Failed) => void failed.push(one),
  }
  const clock = { now: 0 }
  const { registry, loader } = makeRegistry({
    now: () => clock.now,
    observer,
    probation: { seconds: 30, minCalls: 5, maxErrorPercent: 50 },
    ...options,
  })
  await registry.apply(request({ definitions: [settings()] }))
  const show = (text: string) => registry.offer(bundleOf('b', filesOf(version(text))))
  const pushed = async (text: string, more: object = {}) =>
    (await registry.apply(request({ bundles: { b: push(version(text)) }, ...more }))).bundles.b
  const call = (count: number, problem?: Problem) => {
    const bundle = registry.current.bundles.get('b')
    if (bundle === undefined) throw new Error('the bundle does not serve')
    return Promise.all(Array.from({ length: count }, () => registry.called(bundle, 'tools/weather.ts', problem)))
  }
  const state = () => registry.state().bundles.b
  return { registry, loader, settled, failed, clock, show, pushed, call, state }
}

/** Version 2 failed in the place of version 1. */
async function reverted(by: 'push' | 'mount', options: Partial<RegistryOptions> = {}) {
  const world = await made(options)
  const bring = by === 'push' ? world.pushed : world.show
  await bring('1')
  world.clock.now += 30_000
  await bring('2')
  await world.call(5, BOOM)
  return world
}

describe.each(['push', 'mount'] as const)('a version that came by the %s and fails', (by) => {
  test('is gone back from, and the state says so', async () => {
    const { state, registry } = await reverted(by)
    expect(registry.current.bundles.get('b')?.hash).toBe(hashOf('1'))
    expect(state()).toMatchObject({
      active: hashOf('1'),
      candidate: {
        hash: hashOf('2'),
        outcome: 'reverted',
        error: { reason: 'RevertedByProbation', file: 'tools/weather.ts', line: 3 },
      },
    })
    expect(state()?.candidate?.error?.message).toBe(
      `version ${hashOf('2')} was gone back from, to ${hashOf('1')}: 5 of its first 5 calls failed, most with ToolFailed: tool weather failed: boom`,
    )
  })

  test('is rejected when it comes again, however often and by whichever way', async () => {
    const { registry, pushed, show, state } = await reverted(by)
    const before = state()
    for (const bring of [pushed, show, pushed]) {
      const again = { outcome: 'rejected', revision: hashOf('2'), error: { reason: 'RevertedByProbation' } }
      expect(await bring('2')).toMatchObject(again)
      await registry.tick()
    }
    expect(await pushed('2', { mode: 'check' })).toMatchObject({ outcome: 'rejected' })
    expect(state()).toMatchObject({ active: before?.active, candidate: before?.candidate })
  })

  test('is rejected also after other files came in between', async () => {
    const world = await reverted(by)
    const bring = by === 'push' ? world.pushed : world.show
    await bring('3')
    expect(world.state()).toMatchObject({ active: hashOf('3') })
    expect(world.state()?.candidate).toBeUndefined()
    expect(await bring('2')).toMatchObject({ outcome: 'rejected', error: { reason: 'RevertedByProbation' } })
    expect(world.state()).toMatchObject({ active: hashOf('3'), candidate: { hash: hashOf('2'), outcome: 'reverted' } })
  })

  test('gets another chance by a retry, and goes back again', async () => {
    const { registry, state, call } = await reverted(by)
    expect((await registry.retry('b'))?.get('b')).toMatchObject({ outcome: 'activated', revision: hashOf('2') })
    expect(state()?.candidate).toBeUndefined()
    await call(5, BOOM)
    expect(state()).toMatchObject({ active: hashOf('1'), candidate: { outcome: 'reverted' } })
  })

  test('stays gone back from when other packages are allowed', async () => {
    const { registry, state } = await reverted(by)
    const before = state()
    await registry.apply(request({ definitions: [settings({ tools: { packages: ['zod'] } })] }))
    expect(state()).toEqual(before)
  })

  test('is told as reverted, once', async () => {
    const { settled } = await reverted(by)
    const told = settled.filter(({ wentBack }) => wentBack !== undefined)
    expect(told).toMatchObject([{ source: 'probation', result: { outcome: 'activated', revision: hashOf('1') } }])
  })
})

test('what was gone back to goes on serving, and is not itself on probation', async () => {
  const { call, state, failed } = await reverted('push')
  await call(20, BOOM)
  expect(state()?.active).toBe(hashOf('1'))
  expect(failed).toEqual([])
})

test('a version that fails no more than the one before stays', async () => {
  const { pushed, call, state, clock } = await made()
  await pushed('1')
  clock.now += 30_000
  await call(10, BOOM)
  await pushed('2')
  await call(10, BOOM)
  expect(state()).toEqual({ active: hashOf('2') })
})

test('the first version of all goes on serving, and that it fails is told once', async () => {
  const { pushed, call, state, failed } = await made()
  await pushed('1')
  await call(20, BOOM)
  expect(state()).toEqual({ active: hashOf('1') })
  expect(failed).toMatchObject([
    { bundle: 'b', problem: { reason: 'ToolFailed', message: expect.stringContaining('no earlier version') } },
  ])
})

test('a version that has a tool which an agent names by now goes on serving, and that is told', async () => {
  const { registry, pushed, call, state, failed, clock } = await made()
  await registry.apply(request({ bundles: { b: push({ 'tools/old.ts': 'x' }) } }))
  clock.now += 30_000
  await pushed('2')
  await registry.apply(request({ definitions: [agent('support', { tools: ['weather'] })] }))
  await call(20, BOOM)
  expect(state()).toEqual({ active: hashOf('2') })
  expect(failed).toHaveLength(1)
  expect(failed[0]?.problem.message).toContain('tool weather is still used by agents/support')
  expect(await pushed('2')).toMatchObject({ outcome: 'unchanged' })
})

test('a version that the operator pinned is not gone back from', async () => {
  const { registry, pushed, call, state, failed } = await made()
  await pushed('1')
  await registry.apply(request({ bundles: { b: push(version('2')) }, pins: { b: hashOf('2') } }))
  await call(20, BOOM)
  expect(state()).toEqual({ active: hashOf('2') })
  expect(failed).toEqual([])
})

test('a pin on what was gone back to changes nothing, and newer files serve when it goes', async () => {
  const { registry, state } = await reverted('push')
  const before = state()
  await registry.apply(request({ pins: { b: hashOf('1') } }))
  expect(state()).toEqual(before)
  await registry.apply(request({ bundles: { b: push(version('3')) }, pins: {} }))
  expect(state()).toEqual({ active: hashOf('3') })
})

test('files that come while a version fails serve, and nothing goes back', async () => {
  const { loader, pushed, call, state, clock } = await made()
  await pushed('1')
  clock.now += 30_000
  await pushed('2')
  const { promise, resolve } = Promise.withResolvers<void>()
  loader.gates.set(hashOf('3'), promise)
  const third = pushed('3')
  await call(20, BOOM)
  resolve()
  expect(await third).toMatchObject({ outcome: 'activated' })
  expect(state()).toEqual({ active: hashOf('3') })
})

test('a version that was gone back from is no earlier version to go back to by hand', async () => {
  const { registry, show, clock } = await reverted('mount')
  clock.now += 30_000
  await show('3')
  expect(await registry.rollback('b', hashOf('2'))).toMatchObject({ type: 'notHeld', held: [hashOf('1')] })
})

test('without settings and default there is no probation, and settings say how it is', async () => {
  const { registry, pushed, call, state } = await made({ probation: undefined })
  const tools = (probation: object) => registry.apply(request({ definitions: [settings({ tools: { probation } })] }))
  await pushed('1')
  await pushed('2')
  await call(20, BOOM)
  expect(state()?.active).toBe(hashOf('2'))
  await call(20)
  await tools({ minCalls: 2, maxErrorPercent: 60 })
  await pushed('3')
  await call(1)
  await call(1, BOOM)
  expect(state()?.active).toBe(hashOf('3'))
  await pushed('4')
  await call(2, BOOM)
  expect(state()?.active).toBe(hashOf('2'))
  await tools({ seconds: 0 })
  await pushed('5')
  await call(9, BOOM)
  expect(state()?.active).toBe(hashOf('5'))
})

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleOf } from '../../api/index.ts'
import {
  agent,
  FakeTools,
  filesOf,
  makeRegistry,
  push,
  reasonOf,
  request,
  settings,
  V1,
  V2,
} from './registry.fixture.ts'

const V3 = { 'tools/weather.ts': 'snow' }
const SLOW = { 'tools/slow.ts': 'slow' }
const RENAMED = { 'tools/forecast.ts': 'rain' }

const gateFor = (made: ReturnType<typeof makeRegistry>, files: Record<string, string>) => {
  const gate = Promise.withResolvers<void>()
  made.loader.gates.set(push(files).hash, gate.promise)
  return gate
}

const toolsOf = (made: ReturnType<typeof makeRegistry>, bundle: string): FakeTools => {
  const tools = made.registry.current.bundles.get(bundle)?.tools
  if (!(tools instanceof FakeTools)) throw new Error(`bundle ${bundle} does not serve`)
  return tools
}

describe('a call that waits for another of its loads', () => {
  test('never brings back a version that was taken out of service meanwhile', async () => {
    const made = makeRegistry()
    const { registry } = made
    await registry.apply(
      request({ definitions: [settings(), agent('support', { tools: ['weather'] })], bundles: { b: push(V1) } }),
    )
    // Waits: the agent still needs the tool that it takes away.
    await registry.apply(request({ bundles: { b: push(RENAMED) } }))
    const slow = gateFor(made, SLOW)
    const waiting = registry.apply(request({ bundles: { b: push(V1), other: push(SLOW) } }))
    await registry.apply(request({ definitions: [agent('support', { tools: ['forecast'] })] }))
    expect(toolsOf(made, 'b').tools.map(({ name }) => name)).toEqual(['forecast'])
    await registry.apply(request({ definitions: [agent('support', {})] }))
    slow.resolve()
    const { bundles } = await waiting
    expect(bundles.b?.outcome).toBe('activated')
    expect(toolsOf(made, 'b').tools.map(({ name }) => name)).toEqual(['weather'])
    expect(toolsOf(made, 'b').disposed).toBe(0)
  })
})

describe('a call that was admitted under an older fence than the newest', () => {
  const overtaken = async (parts: Parameters<typeof request>[0] = {}) => {
    const made = makeRegistry()
    const { registry } = made
    await registry.apply(request({ fence: 5, definitions: [settings()], bundles: { b: push(V1) } }))
    const slow = gateFor(made, V2)
    const late = reasonOf(
      registry.apply(request({ fence: 5, bundles: { b: push(V2) }, definitions: [agent('late')], ...parts })),
    )
    return { ...made, slow, late }
  }

  test('commits nothing of what it was still loading, and is refused', async () => {
    const { registry, loader, slow, late } = await overtaken()
    await registry.apply(request({ fence: 6 }))
    slow.resolve()
    expect(await late).toBe('StaleFence')
    expect(registry.current.bundles.get('b')?.hash).toBe(push(V1).hash)
    expect(registry.current.agents.has('late')).toBe(false)
    expect(registry.state().bundles.b).toEqual({ active: push(V1).hash })
    const given = loader.loaded.at(-1)?.tools
    expect(given instanceof FakeTools && given.disposed).toBe(1)
  })

  test('leaves nothing behind that serves later', async () => {
    const { registry, slow, late } = await overtaken()
    await registry.apply(request({ fence: 6 }))
    slow.resolve()
    await late
    await registry.tick()
    await registry.apply(request({ fence: 6, definitions: [settings({ tools: { packages: ['zod'] } })] }))
    expect(registry.current.bundles.get('b')?.hash).toBe(push(V1).hash)
  })

  test('takes nothing back from the newer operator that pushed the same bundle', async () => {
    const { registry, slow, late } = await overtaken()
    await registry.apply(request({ fence: 6, bundles: { b: push(V3) } }))
    slow.resolve()
    expect(await late).toBe('StaleFence')
    await registry.tick()
    expect(registry.current.bundles.get('b')?.hash).toBe(push(V3).hash)
  })

  test('takes nothing back to a push of another that was overtaken with it, whichever ends first', async () => {
    const { registry, slow, late, ...made } = await overtaken()
    const other = gateFor({ registry, ...made }, V3)
    const later = reasonOf(registry.apply(request({ fence: 5, bundles: { b: push(V3) } })))
    await registry.apply(request({ fence: 6 }))
    slow.resolve()
    expect(await late).toBe('StaleFence')
    other.resolve()
    expect(await later).toBe('StaleFence')
    await registry.apply(request({ fence: 6, definitions: [settings({ tools: { packages: ['zod'] } })] }))
    expect(registry.current.bundles.get('b')?.hash).toBe(push(V1).hash)
  })

  test('removes nothing', async () => {
    const { registry, slow, late } = await overtaken({
      bundles: { c: push(V2) },
      remove: { bundles: ['b'] },
    })
    await registry.apply(request({ fence: 6 }))
    slow.resolve()
    expect(await late).toBe('StaleFence')
    await registry.apply(request({ fence: 6, definitions: [settings({ tools: { packages: ['zod'] } })] }))
    expect([...registry.current.bundles.keys()]).toEqual(['b'])
  })

  test('neither completes a sync nor gives up the claim of the newer one', async () => {
    const { registry, slow, late } = await overtaken({ release: true, complete: { expected: 9 } })
    await registry.apply(request({ fence: 6, complete: { expected: 0 } }))
    slow.resolve()
    await late
    expect(registry.state()).toMatchObject({ claimedBy: 'test', complete: true, fence: 6 })
  })
})

type Step =
  | { readonly type: 'push'; readonly version: number; readonly isSlow: boolean }
  | { readonly type: 'remove' }
  | { readonly type: 'mount'; readonly version: number }
  | { readonly type: 'raise' }

const version = fc.integer({ min: 1, max: 4 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('push' as const), version, isSlow: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('remove' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('mount' as const), version }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('raise' as const) }) },
)
const filesAt = (each: number) => ({ 'tools/weather.ts': `${each}` })

const partsOf = (each: Extract<Step, { type: 'push' | 'remove' }>) =>
  each.type === 'push' ? { bundles: { b: push(filesAt(each.version)) } } : { remove: { bundles: ['b'] } }

async function openAll(gates: readonly PromiseWithResolvers<void>[]): Promise<void> {
  for (const gate of gates) {
    gate.resolve()
    await new Promise(setImmediate)
  }
}

/** Plays the steps, slow loads ending all at the end, in the order that `fromLast` says; answers what serves then. */
async function play(steps: readonly Step[], fromLast: boolean): Promise<string | undefined> {
  const made = makeRegistry({ now: () => 0 })
  const { registry, loader } = made
  const gates: PromiseWithResolvers<void>[] = []
  const calls: Promise<unknown>[] = []
  let fence = 1
  await registry.apply(request({ fence, definitions: [settings()] }))
  for (const each of steps) {
    loader.gates.clear()
    if (each.type === 'raise') await registry.apply(request({ fence: ++fence }))
    else if (each.type === 'mount') await registry.offer(bundleOf('b', filesOf(filesAt(each.version))))
    else {
      const isSlow = each.type === 'push' && each.isSlow
      if (isSlow) gates.push(gateFor(made, filesAt(each.version)))
      const call = registry.apply(request({ fence, ...partsOf(each) })).catch(() => undefined)
      calls.push(call)
      if (!isSlow) await call
    }
  }
  loader.gates.clear()
  await openAll(fromLast ? gates.toReversed() : gates)
  await Promise.all(calls)
  await registry.apply(request({ fence, definitions: [settings({ tools: { packages: ['zod'] } })] }))
  return registry.current.bundles.get('b')?.hash
}

/** Slow pushes that a newer fence overtakes have never been. */
function withoutOvertaken(steps: readonly Step[]): Step[] {
  const lastRaise = steps.findLastIndex(({ type }) => type === 'raise')
  return steps.filter((each, index) => each.type !== 'push' || !each.isSlow || index > lastRaise)
}

test('in every history what serves in the end is as if calls that a newer fence overtook had never come', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.boolean(), async (steps, fromLast) => {
      expect(await play(steps, fromLast)).toBe(await play(withoutOvertaken(steps), fromLast))
    }),
    { numRuns: 300, seed: 63 },
  )
})

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleOf } from '../../api/index.ts'
import type { Settlement } from './observer.ts'
import { agent, filesOf, makeRegistry, push, reasonOf, request, serving, settings, V1, V2 } from './registry.fixture.ts'
import type { Registry } from './registry.ts'

const V3 = { 'tools/weather.ts': 'snow' }
const mountOf = (files: Record<string, string>) => bundleOf('files', filesOf(files))

describe('pins', () => {
  test('hold a bundle whatever is pushed; what was kept back serves when the pin goes', async () => {
    const { registry } = await serving()
    await registry.apply(request({ pins: { files: push(V1).hash } }))
    const { bundles } = await registry.apply(request({ bundles: { files: push(V2) } }))
    expect(bundles.files).toMatchObject({ outcome: 'pending', revision: push(V2).hash, error: { reason: 'Pinned' } })
    expect(registry.state()).toMatchObject({
      pins: { files: push(V1).hash },
      bundles: {
        files: {
          active: push(V1).hash,
          candidate: { hash: push(V2).hash, outcome: 'pending', error: { reason: 'Pinned' } },
        },
      },
    })
    const freed = await registry.apply(request({ pins: {} }))
    expect(freed.bundles.files).toMatchObject({ outcome: 'activated', revision: push(V2).hash })
    expect(registry.state()).toMatchObject({ pins: {}, bundles: { files: { active: push(V2).hash } } })
  })

  test('let observers know of what they keep back, with its files, and of nothing else', async () => {
    const settled: Settlement[] = []
    const ignore = () => undefined
    const observer = { settled: (each: Settlement) => void settled.push(each), swapped: ignore, failed: ignore }
    const { registry } = makeRegistry({ observer })
    await registry.apply(request({ bundles: { files: push(V1) }, pins: { files: push(V1).hash } }))
    await registry.apply(request({ bundles: { files: push(V2) } }))
    await registry.offer(mountOf(V3))
    const told = settled.map(({ source, result: { outcome, revision, error }, bundle }) => [
      source,
      outcome,
      revision,
      error?.reason,
      bundle?.arrived?.hash,
    ])
    expect(told).toEqual([
      ['push', 'activated', push(V1).hash, undefined, push(V1).hash],
      ['push', 'pending', push(V2).hash, 'Pinned', push(V2).hash],
      ['mount', 'pending', push(V3).hash, 'Pinned', push(V3).hash],
    ])
  })

  test('hold a bundle whatever its mount shows, also while the directory is gone', async () => {
    const { registry } = makeRegistry()
    await registry.offer(mountOf(V1))
    await registry.apply(request({ pins: { files: push(V1).hash } }))
    expect(await registry.offer(mountOf(V2))).toMatchObject({ outcome: 'pending', error: { reason: 'Pinned' } })
    expect(await registry.withdraw('files')).toMatchObject({ outcome: 'pending', error: { reason: 'Pinned' } })
    expect(registry.current.bundles.get('files')?.hash).toBe(push(V1).hash)
    await registry.apply(request({ pins: {} }))
    expect(registry.state().bundles).toEqual({})
  })

  test('bring back a version that the mount still shows', async () => {
    const { registry } = makeRegistry()
    await registry.offer(mountOf(V1))
    await registry.apply(request({ bundles: { files: push(V2) } }))
    const { bundles } = await registry.apply(request({ pins: { files: push(V1).hash } }))
    expect(bundles.files).toMatchObject({ outcome: 'activated', revision: push(V1).hash })
    expect(registry.state().bundles.files).toMatchObject({
      active: push(V1).hash,
      mount: push(V1).hash,
      candidate: { hash: push(V2).hash, error: { reason: 'Pinned' } },
    })
  })

  test('of a version that the runtime does not hold change nothing until it is pushed', async () => {
    const { registry } = await serving()
    await registry.apply(request({ pins: { files: push(V3).hash, none: push(V3).hash } }))
    const missing = { hash: push(V3).hash, outcome: 'pending', error: { reason: 'Pinned' } }
    expect(registry.state().bundles).toMatchObject({
      files: { active: push(V1).hash, candidate: missing },
      none: { candidate: missing },
    })
    const { bundles } = await registry.apply(request({ bundles: { files: push(V3) } }))
    expect(bundles.files).toMatchObject({ outcome: 'activated', revision: push(V3).hash })
    expect(registry.state().bundles.files).toEqual({ active: push(V3).hash })
  })

  test('stay when a call does not name them, and are replaced when it does', async () => {
    const { registry } = await serving()
    await registry.apply(request({ pins: { files: push(V1).hash } }))
    await registry.apply(request({ definitions: [agent('other')] }))
    expect(registry.state().pins).toEqual({ files: push(V1).hash })
    await registry.apply(request({ pins: { more: push(V2).hash } }))
    expect(registry.state().pins).toEqual({ more: push(V2).hash })
  })

  test('in a check change nothing, and a pinned bundle is still loaded to find its mistakes', async () => {
    const { registry } = await serving()
    const check = (files: Record<string, string>) =>
      registry.apply(request({ mode: 'check', pins: { files: push(V1).hash }, bundles: { files: push(files) } }))
    const before = registry.state()
    expect((await check(V2)).bundles.files).toMatchObject({ outcome: 'pending', error: { reason: 'Pinned' } })
    expect((await check(V1)).bundles.files?.outcome).toBe('checked')
    const broken = { 'tools/weather.ts': 'broken' }
    expect((await check(broken)).bundles.files).toMatchObject({ outcome: 'rejected' })
    expect(registry.state()).toEqual(before)
  })

  test('decide over any sequence of pushes, mounts and pins what serves', async () => {
    const step = fc.record({ type: fc.constantFrom('push', 'mount', 'pin', 'unpin'), version: fc.nat(2) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const pinned = makeRegistry({ now: () => 0 }).registry
        const free = makeRegistry({ now: () => 0 }).registry
        let model: Model = { pin: undefined, serves: undefined, shown: {} }
        for (const { type, version } of steps) {
          const files = [V1, V2, V3][version] ?? V1
          await takeStep(free, type === 'push' || type === 'mount' ? type : 'none', files)
          await takeStep(pinned, type, files)
          model = nextModel(model, { type, hash: push(files).hash, free: served(free) })
          expect(served(pinned)).toBe(model.serves)
        }
      }),
      { numRuns: 200, seed: 7 },
    )
  })
})

const served = (registry: Registry) => registry.current.bundles.get('files')?.hash

function takeStep(registry: Registry, type: string, files: Record<string, string>): Promise<unknown> {
  if (type === 'push') return registry.apply(request({ bundles: { files: push(files) } }))
  if (type === 'mount') return registry.offer(mountOf(files))
  if (type === 'pin') return registry.apply(request({ pins: { files: push(files).hash } }))
  return registry.apply(request(type === 'unpin' ? { pins: {} } : {}))
}

type Model = {
  readonly pin: string | undefined
  readonly serves: string | undefined
  /** What push and mount last brought. */
  readonly shown: Readonly<Record<string, string>>
}

/** @param free what serves in a runtime that is never pinned */
function nextModel(
  model: Model,
  { type, hash, free }: { type: string; hash: string; free: string | undefined },
): Model {
  const shown = type === 'push' || type === 'mount' ? { ...model.shown, [type]: hash } : model.shown
  const pin = type === 'pin' ? hash : type === 'unpin' ? undefined : model.pin
  if (pin === undefined) return { pin, shown, serves: free }
  return { pin, shown, serves: Object.values(shown).includes(pin) ? pin : model.serves }
}

describe('release', () => {
  test('gives the claim up once the call is done, and keeps the fence', async () => {
    const { registry } = makeRegistry()
    await registry.apply(request({ fence: 7, claim: 'first' }))
    expect(registry.state().claimedBy).toBe('first')
    const { items } = await registry.apply(
      request({ fence: 7, claim: 'first', definitions: [settings()], release: true }),
    )
    expect(items.settings?.outcome).toBe('activated')
    expect(registry.state()).toMatchObject({ fence: 7 })
    expect(registry.state().claimedBy).toBeUndefined()
    await registry.apply(request({ fence: 7, claim: 'second' }))
    expect(registry.state().claimedBy).toBe('second')
  })

  test('is refused to who does not hold the claim', async () => {
    const { registry } = makeRegistry()
    await registry.apply(request({ claim: 'first' }))
    expect(await reasonOf(registry.apply(request({ claim: 'second', release: true })))).toBe('Claimed')
    expect(registry.state().claimedBy).toBe('first')
  })

  test('in a check changes nothing', async () => {
    const { registry } = makeRegistry()
    await registry.apply(request({ claim: 'first' }))
    await registry.apply(request({ claim: 'first', mode: 'check', release: true }))
    expect(registry.state().claimedBy).toBe('first')
  })
})

describe('complete', () => {
  test('is false while items of the sync are missing, and true once they are here', async () => {
    const { registry } = makeRegistry()
    const first = await registry.apply(request({ definitions: [agent('a')], complete: { expected: 2 } }))
    expect(first.complete).toBe(false)
    const second = await registry.apply(request({ definitions: [agent('b')] }))
    expect(second.complete).toBe(true)
  })

  test('stays true when an item is removed later', async () => {
    const { registry } = makeRegistry()
    await registry.apply(request({ definitions: [settings(), agent('a')], complete: { expected: 2 } }))
    await registry.apply(request({ remove: { items: ['agents/a'] } }))
    expect(registry.state().complete).toBe(true)
  })

  test('counts nothing that nobody declared: neither the default settings nor items of the API', async () => {
    const { registry } = makeRegistry()
    await registry.add(agent('extra'))
    await registry.apply(request({ complete: { expected: 1 } }))
    expect(registry.state().complete).toBe(false)
  })
})

test('removing the settings puts the defaults back, unless something still needs a model', async () => {
  const { registry } = makeRegistry()
  const before = registry.state().items.settings
  await registry.apply(request({ definitions: [settings(), agent('a')] }))
  const refused = await registry.apply(request({ remove: { items: ['settings'] } }))
  expect(refused.items.settings).toMatchObject({ outcome: 'pending', error: { reason: 'StillReferenced' } })
  await registry.apply(request({ remove: { items: ['agents/a'] } }))
  expect(registry.state().items).toEqual({ settings: before })
})

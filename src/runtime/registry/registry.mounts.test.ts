import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleOf } from '../../api/index.ts'
import { decide, emptyChannels, mount, push as pushed } from '../files/channels.ts'
import { agent, filesOf, makeRegistry, push, request, settings } from './registry.fixture.ts'

const filesAt = (version: number) => ({ 'tools/weather.ts': `version ${version}` })
const hashAt = (version: number) => push(filesAt(version)).hash
const mountAt = (version: number) => bundleOf('files', filesOf(filesAt(version)))
const naming = (...names: readonly string[]) =>
  settings({ bundles: names.map((name) => ({ name, configMap: `${name}-files` })) })
const make = () => makeRegistry({ mountsTaken: 'named', now: () => 0 })

const versions = fc.nat(3)
const step = fc.oneof(
  fc.record({ type: fc.constant('push' as const), version: versions }),
  fc.record({ type: fc.constant('mount' as const), version: versions }),
  fc.record({ type: fc.constantFrom('name' as const, 'unname' as const) }),
  /** A call of an operator that names a bundle and brings it. */
  fc.record({ type: fc.constant('both' as const), version: versions }),
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

describe('mounts of which only those serve that the settings name', () => {
  test('serve as if they had been followed all along, while they are named, and never otherwise', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
        const { registry } = make()
        let model = { isNamed: false, channels: emptyChannels }
        for (const each of steps) {
          model = next(model, each)
          if (each.type === 'mount') await registry.offer(mountAt(each.version))
          else await registry.apply(callOf(each))
          const { isNamed, channels } = model
          const expected = isNamed ? decide(channels, 0) : channels.push
          expect(registry.current.bundles.get('files')?.hash).toBe(expected)
          expect(registry.state().bundles.files?.mount).toBe(isNamed ? channels.mount : undefined)
        }
      }),
      { numRuns: 150, seed: 71 },
    )
  })

  test('are not looked into before', async () => {
    const { registry, loader } = make()
    expect(await registry.offer(mountAt(1))).toMatchObject({ outcome: 'unchanged' })
    expect(registry.refuse('files', { reason: 'DirectoryNotFound', message: 'gone' }).outcome).toBe('unchanged')
    expect(loader.loaded).toEqual([])
    expect(registry.state().bundles).toEqual({})
  })

  test('bring what agents wait for with the very call that names them', async () => {
    const { registry } = make()
    await registry.offer(mountAt(1))
    await registry.apply(request({ definitions: [naming('files'), agent('a', { tools: ['weather'] })] }))
    expect([...registry.current.agents.keys()]).toEqual(['a'])
  })

  test('that lag behind the call that names them never serve', async () => {
    const { registry, loader } = make()
    await registry.offer(mountAt(1))
    await registry.apply(request({ definitions: [naming('files')], bundles: { files: push(filesAt(2)) } }))
    expect(loader.loaded.map(({ hash }) => hash)).toEqual([hashAt(2)])
    await registry.offer(mountAt(3))
    expect(registry.current.bundles.get('files')?.hash).toBe(hashAt(3))
  })

  test('when they are emptied take nothing away that was pushed, unless they are named', async () => {
    const { registry } = make()
    await registry.offer(mountAt(1))
    await registry.apply(request({ bundles: { files: push(filesAt(2)) } }))
    await registry.withdraw('files')
    expect(registry.current.bundles.get('files')?.hash).toBe(hashAt(2))
    await registry.apply(request({ definitions: [naming('files')] }))
    expect(registry.state().bundles.files).toEqual({ active: hashAt(2) })
    await registry.withdraw('files')
    expect(registry.state().bundles).toEqual({})
  })

  test('stay while something uses them', async () => {
    const { registry } = make()
    await registry.offer(mountAt(1))
    await registry.apply(request({ definitions: [naming('files'), agent('a', { tools: ['weather'] })] }))
    await registry.apply(request({ definitions: [naming()] }))
    expect(registry.state().bundles.files).toMatchObject({ candidate: { error: { reason: 'StillReferenced' } } })
    await registry.apply(request({ remove: { items: ['agents/a'] } }))
    expect(registry.state().bundles).toEqual({})
  })
})

type Model = { readonly isNamed: boolean; readonly channels: typeof emptyChannels }

function next({ isNamed, channels }: Model, each: Step): Model {
  switch (each.type) {
    case 'push':
      return { isNamed, channels: pushed(channels, hashAt(each.version), 0) }
    case 'mount':
      return { isNamed, channels: mount(channels, hashAt(each.version), 0) }
    case 'both':
      return { isNamed: true, channels: pushed(channels, hashAt(each.version), 0) }
    case 'name':
      return { isNamed: true, channels }
    case 'unname':
      return { isNamed: false, channels }
  }
}

function callOf(each: Exclude<Step, { type: 'mount' }>) {
  switch (each.type) {
    case 'push':
      return request({ bundles: { files: push(filesAt(each.version)) } })
    case 'both':
      return request({ definitions: [naming('files')], bundles: { files: push(filesAt(each.version)) } })
    case 'name':
      return request({ definitions: [naming('files')] })
    case 'unname':
      return request({ definitions: [naming()] })
  }
}

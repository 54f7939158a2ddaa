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
/** As an operator names what a label selects. */
const selecting = (...names: readonly string[]) =>
  settings({ bundles: names.map((name) => ({ name, configMap: name, pushedOnly: true })) })
const make = () => makeRegistry({ mountsTaken: 'named', now: () => 0 })

const versions = fc.nat(3)
const step = fc.oneof(
  fc.record({ type: fc.constant('push' as const), version: versions }),
  fc.record({ type: fc.constant('mount' as const), version: versions }),
  fc.record({ type: fc.constantFrom('name' as const, 'unname' as const, 'select' as const, 'remove' as const) }),
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
          const expected = wantedOf(model)
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

  test('of a bundle that comes by the push alone never serve, whatever becomes of them, and do when it is named', async () => {
    const { registry, loader } = make()
    await registry.apply(request({ definitions: [naming('files')], bundles: { files: push(filesAt(1)) } }))
    await registry.offer(mountAt(1))
    await registry.apply(request({ definitions: [selecting('files')], bundles: { files: push(filesAt(2)) } }))
    expect(await registry.offer(mountAt(3))).toMatchObject({ outcome: 'unchanged' })
    expect(registry.refuse('files', { reason: 'DirectoryNotFound', message: 'gone' }).outcome).toBe('unchanged')
    expect(registry.state().bundles.files).toEqual({ active: hashAt(2) })
    expect(loader.loaded.map(({ hash }) => hash)).toEqual([hashAt(1), hashAt(2)])
    await registry.apply(request({ definitions: [naming('files')] }))
    expect(registry.state().bundles.files).toEqual({ active: hashAt(3), mount: hashAt(3) })
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

const wantedOf = ({ isNamed, channels }: Model) => (isNamed ? decide(channels, 0) : channels.push)

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
    case 'select':
      return { isNamed: false, channels }
    case 'remove':
      // A mount that is taken is forgotten with the bundle, until it changes.
      return { isNamed, channels: isNamed ? emptyChannels : mount(emptyChannels, channels.mount, 0) }
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
    case 'select':
      return request({ definitions: [selecting('files')] })
    case 'remove':
      return request({ remove: { bundles: ['files'] } })
  }
}

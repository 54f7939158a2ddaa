import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleOf } from '../../api/index.ts'
import { agent, filesOf, makeRegistry, push, reasonOf, request, settings } from './registry.fixture.ts'

const version = (text: string) => ({ 'tools/weather.ts': text })
const hashOf = (text: string) => push(version(text)).hash

async function edited(...texts: readonly string[]) {
  const made = makeRegistry()
  const { registry } = made
  const edit = (text: string) => registry.offer(bundleOf('b', filesOf(version(text))))
  await registry.apply(request({ owner: 'dev', definitions: [settings()] }))
  for (const text of texts) await edit(text)
  const served = async () =>
    registry.current.tools.get('weather')?.bundle.tools.call('weather', {}, { signal: new AbortController().signal })
  return { ...made, edit, served }
}

describe('a rollback', () => {
  test('goes back to the version that served before, and again to the one before that', async () => {
    const { registry, served } = await edited('1', '2', '3')
    expect(await registry.rollback('b')).toMatchObject({ type: 'done', from: hashOf('3'), to: hashOf('2') })
    expect(await served()).toBe('2')
    await registry.rollback('b')
    expect(await served()).toBe('1')
  })

  test('goes to a version that is still held, and knows three besides the one that serves', async () => {
    const { registry, served } = await edited('1', '2', '3', '4', '5')
    expect(await registry.rollback('b', hashOf('1'))).toEqual({
      type: 'notHeld',
      held: [hashOf('4'), hashOf('3'), hashOf('2')],
    })
    await registry.rollback('b', hashOf('2'))
    expect(await served()).toBe('2')
    await registry.rollback('b', hashOf('5'))
    expect(await served()).toBe('5')
  })

  test('holds until the files change', async () => {
    const { registry, edit, served } = await edited('1', '2')
    await registry.rollback('b')
    await edit('2')
    await registry.tick()
    await registry.apply(request({ owner: 'dev', definitions: [settings({ tools: { packages: ['zod'] } })] }))
    expect(await served()).toBe('1')
    await edit('3')
    expect(await served()).toBe('3')
    await edit('2')
    expect(await served()).toBe('2')
  })

  test('stays when the files change to something that is refused', async () => {
    const { registry, edit, served } = await edited('1', '2')
    await registry.rollback('b')
    await edit('broken')
    expect(await served()).toBe('1')
    expect(registry.state().bundles.b?.candidate).toMatchObject({ outcome: 'rejected' })
  })

  test('to a version that takes away what an agent needs is refused, and everything is as before', async () => {
    const { registry } = makeRegistry()
    await registry.apply(
      request({ owner: 'dev', definitions: [settings()], bundles: { b: push({ 'tools/old.ts': 'x' }) } }),
    )
    await registry.apply(request({ owner: 'dev', bundles: { b: push(version('1')) } }))
    await registry.apply(request({ owner: 'dev', definitions: [agent('support', { tools: ['weather'] })] }))
    const before = { ...registry.state(), lastEventId: expect.any(String) }
    expect(await reasonOf(registry.rollback('b'))).toBe('StillReferenced')
    expect(registry.state()).toEqual(before)
  })

  test('that another one overtakes is told so, and the other one is done', async () => {
    const { registry, served } = await edited('1', '2', '3')
    const [first, second] = await Promise.allSettled([
      registry.rollback('b', hashOf('1')),
      registry.rollback('b', hashOf('2')),
    ])
    expect(first).toMatchObject({ status: 'rejected', reason: { problem: { reason: 'Superseded' } } })
    expect(second).toMatchObject({ status: 'fulfilled', value: { type: 'done', to: hashOf('2') } })
    expect(await served()).toBe('2')
  })

  test('of a bundle that nobody has is told, as is that there is no earlier version', async () => {
    const { registry } = await edited('1')
    expect(await registry.rollback('nope')).toEqual({ type: 'unknown' })
    expect(await registry.rollback('b')).toEqual({ type: 'notHeld', held: [] })
  })

  test('of what the operator owns is refused and says what to do', async () => {
    const { registry } = makeRegistry({ bundleOwner: 'operator' })
    await registry.apply(request({ bundles: { b: push(version('1')) } }))
    await registry.apply(request({ bundles: { b: push(version('2')) } }))
    await expect(registry.rollback('b')).rejects.toMatchObject({
      problem: {
        reason: 'OwnedByOther',
        message: expect.stringContaining('put the earlier files back into its ConfigMap'),
      },
    })
  })

  test('keeps no more than 16 MiB of earlier versions of a bundle', async () => {
    const { registry } = makeRegistry()
    const big = (byte: number) =>
      bundleOf(
        'b',
        new Map(Array.from({ length: 7 }, (_, index) => [`prompts/${index}.md`, Buffer.alloc(1_048_576, byte)])),
      )
    for (const byte of [65, 66, 67, 68]) await registry.offer(big(byte))
    expect(await registry.rollback('b', 'x')).toEqual({ type: 'notHeld', held: [big(67).hash, big(66).hash] })
  })
})

type Step = { readonly type: 'edit' | 'to'; readonly text: string } | { readonly type: 'back' }
const anyText = fc.integer({ min: 1, max: 5 }).map(String)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('edit' as const), text: anyText }),
  fc.record({ type: fc.constant('to' as const), text: anyText }),
  fc.record({ type: fc.constant('back' as const) }),
)

/** A directory that is edited, and gone back from by hand. */
class World {
  readonly #made: Awaited<ReturnType<typeof edited>>
  readonly #wasServed = new Set(['1'])
  #directory = '1'

  constructor(made: Awaited<ReturnType<typeof edited>>) {
    this.#made = made
  }

  async take(next: Step): Promise<void> {
    const before = String(await this.#made.served())
    if (next.type === 'edit') await this.#edit(next.text, before)
    else await this.#goBack(next.type === 'to' ? next.text : undefined, before)
    this.#wasServed.add(String(await this.#made.served()))
  }

  async #edit(to: string, before: string): Promise<void> {
    await this.#made.edit(to)
    expect(await this.#made.served()).toBe(to === this.#directory ? before : to)
    this.#directory = to
  }

  async #goBack(to: string | undefined, before: string): Promise<void> {
    const done = await this.#made.registry.rollback('b', to && hashOf(to))
    const now = String(await this.#made.served())
    expect(hashOf(now)).toBe(done.type === 'done' ? done.to : hashOf(before))
    if (to === undefined) expect(now !== before).toBe(this.#wasServed.size > 1)
    else expect(done.type === 'done' ? now : 'not held').toBe(done.type === 'done' ? to : 'not held')
    expect(done.type === 'notHeld' ? done.held.length : 0).toBeLessThanOrEqual(3)
  }
}

test('in every history an edit serves, a rollback serves what it names, and at most three are held', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const world = new World(await edited('1'))
      for (const next of steps) await world.take(next)
    }),
    { numRuns: 200, seed: 64 },
  )
})

describe('a retry', () => {
  test('loads again what was refused, and tells what became of it', async () => {
    const { registry, loader, edit } = await edited('1')
    await edit('zod')
    await edit('broken')
    const loads = loader.packages.length
    expect((await registry.retry())?.get('b')).toMatchObject({
      outcome: 'rejected',
      error: { reason: 'InvalidSyntax' },
    })
    expect(loader.packages.length).toBe(loads + 1)
    expect(await registry.retry('nope')).toBeUndefined()
  })

  test('loads nothing where nothing was refused or waits', async () => {
    const { registry, loader } = await edited('1')
    const loads = loader.loaded.length
    expect(await registry.retry('b')).toEqual(new Map())
    expect(loader.loaded.length).toBe(loads)
  })

  test('does not forget that a directory cannot be read', async () => {
    const { registry } = await edited('1')
    const error = { reason: 'DirectoryNotFound', message: 'gone' } as const
    registry.refuse('b', error)
    expect((await registry.retry('b'))?.get('b')).toEqual({ outcome: 'rejected', error })
    expect(registry.state().bundles.b?.candidate).toEqual({ outcome: 'rejected', error })
  })
})

import { lutimes, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  BOOT_PART_BYTES,
  type BootSet,
  bootPartFile,
  bundleHash,
  type Definition,
  definitionRevision,
  encodeBootSet,
  itemIdOf,
} from '../../api/index.ts'
import { createAtomicWriter } from '../files/atomic-writer.fixture.ts'
import { Registry } from '../registry/index.ts'
import { agent, FakeLoader, filesOf, loadModel, push, settings } from '../registry/registry.fixture.ts'
import { bootFrom } from './boot.ts'

const WRITTEN_AT = '2026-01-01T00:00:00Z'
const GOOD = { 'tools/weather.ts': 'sun' }
const item = (definition: Definition) =>
  [
    itemIdOf(definition.kind, definition.name),
    { owner: 'operator' as const, revision: definitionRevision(definition), definition },
  ] as const
const setOf = (definitions: readonly Definition[], more: Partial<BootSet> = {}): BootSet => ({
  ...{ version: 1, runtime: 'team/main', claim: 'team/main/uid', fence: 7 },
  items: Object.fromEntries(definitions.map(item)),
  bundles: { files: push(GOOD) },
  secrets: { 'llm/openai': { version: 'uid/1', value: 'canary-key' } },
  pins: {},
  ...more,
})

let directory: string
let registry: Registry
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'boot-'))
  const loader = new FakeLoader()
  registry = new Registry({ loadModel, loadBundle: (bundle, packages) => loader.load(bundle, packages) })
})
afterEach(() => rm(directory, { recursive: true }))

const write = (set: BootSet, sequence = 1, first = 0) =>
  Promise.all(
    encodeBootSet(set, { sequence, writtenAt: WRITTEN_AT }).map((part, index) =>
      writeFile(join(directory, bootPartFile(first + index)), part),
    ),
  )
const boot = () => bootFrom(directory, registry)
const mounted = (files: Record<string, string>) => {
  const contents = filesOf(files)
  return { name: 'files', hash: bundleHash(contents), files: contents }
}

describe('a runtime with a boot set', () => {
  test('serves all of it as its operator would have it, and is complete', async () => {
    await write(setOf([settings(), agent('support', { tools: ['weather'] })]))
    const served = { type: 'served', runtime: 'team/main', writtenAt: WRITTEN_AT, items: 2, bundles: 1 }
    expect(await boot()).toEqual({ ...served, notServed: [], problems: [] })
    const state = registry.state()
    expect(state).toMatchObject({ complete: true, claimedBy: 'team/main/uid', fence: 7 })
    expect(state.items['agents/support']).toMatchObject({ owner: 'operator', active: {} })
    expect(state.bundles.files?.active).toBe(push(GOOD).hash)
    expect(state.secrets).toEqual({ 'llm/openai': 'uid/1' })
  })

  test('serves the rest where one item and one bundle of it are broken, and says which', async () => {
    const set = setOf([settings(), agent('support'), agent('lost', { tools: ['nowhere'] })])
    set.items['agents/odd'] = { owner: 'operator', revision: '0'.repeat(32), definition: { kind: 'Agent' } }
    set.bundles.broken = push({ 'tools/x.ts': 'broken' })
    await write(set)
    const outcome = await boot()
    expect(outcome.type === 'served' && outcome.notServed.map(({ what }) => what).sort()).toEqual([
      'agents/lost',
      'agents/odd',
      'bundle broken',
    ])
    expect(registry.complete).toBe(true)
    expect([...registry.current.agents.keys()]).toEqual(['support'])
  })

  test('takes the newest of two', async () => {
    await write(setOf([settings(), agent('old')]), 3, 0)
    await write(setOf([settings(), agent('new')]), 4, 4)
    await boot()
    expect([...registry.current.agents.keys()]).toEqual(['new'])
  })

  test('loads news from its mount, keeps its own bundle where that is refused, and its pins hold', async () => {
    await write(setOf([settings()]))
    await boot()
    const refused = await registry.offer(mounted({ 'tools/weather.ts': 'broken' }))
    expect([refused.outcome, registry.state().bundles.files?.active]).toEqual(['rejected', push(GOOD).hash])
    expect((await registry.offer(mounted({ 'tools/weather.ts': 'rain' }))).outcome).toBe('activated')
    await write(setOf([settings()], { pins: { files: push(GOOD).hash } }), 2)
    await boot()
    expect(registry.state().bundles.files?.active).toBe(push(GOOD).hash)
    expect((await registry.offer(mounted({ 'tools/weather.ts': 'snow' }))).error?.reason).toBe('Pinned')
  })

  test('gives way to an operator, which finds nothing to tell where nothing changed, and takes the rest over', async () => {
    await write(setOf([settings(), agent('support')]))
    await boot()
    const before = registry.state()
    const [id, support] = item(agent('support'))
    const call = { claim: 'team/main/uid', target: { bootId: registry.bootId }, mode: 'activate' as const }
    const empty = { items: {}, bundles: {}, secrets: {}, remove: { items: [], bundles: [], secrets: [] } }
    const same = await registry.apply({ ...call, ...empty, fence: 8, items: { [id]: support } })
    expect(same.items[id]?.outcome).toBe('unchanged')
    expect(registry.state().snapshot).toBe(before.snapshot)
    await expect(registry.apply({ ...call, ...empty, fence: 7 })).rejects.toThrow('fence 7 is below 8')
  })
})

describe('a runtime that begins with a boot set, in a pod where a directory was mounted before', () => {
  const AT = Date.parse(WRITTEN_AT)
  let loader: FakeLoader
  let place: string

  beforeEach(async () => {
    loader = new FakeLoader()
    const loadBundle = (...parts: Parameters<FakeLoader['load']>) => loader.load(...parts)
    registry = new Registry({ loadModel, loadBundle, mountsTaken: 'named' })
    place = join(directory, 'files')
    await createAtomicWriter(place).write({ 'weather.tool.ts': 'old' })
    await write(setOf([settings({ bundles: [{ name: 'files', configMap: 'files' }] }), agent('support')]))
  })
  const shownSince = (ms: number) => lutimes(join(place, '..data'), ms / 1000, ms / 1000)
  /** What serves of the bundle once its mount is followed. */
  const begin = async (now: number, mount = place) => {
    const mounts = [{ name: 'files', directory: mount }]
    expect((await bootFrom(directory, registry, { mounts, now })).type).toBe('served')
    await registry.offer(mounted({ 'weather.tool.ts': 'old' }))
    return registry.state().bundles.files?.active
  }
  const oldHash = push({ 'weather.tool.ts': 'old' }).hash

  test('serves the set, and never what the mount showed already when the set was written', async () => {
    await shownSince(AT - 1000)
    expect(await begin(AT + 5000)).toBe(push(GOOD).hash)
    expect(loader.loaded.map(({ hash }) => hash)).toEqual([push(GOOD).hash])
    expect(registry.state().bundles.files?.mount).toBe(oldHash)
  })

  test('serves what the mount has shown since', async () => {
    await shownSince(AT + 1000)
    expect(await begin(AT + 5000)).toBe(oldHash)
  })

  test('serves what the mount shows when the set is from the future: then clocks differ', async () => {
    await shownSince(AT - 1000)
    expect(await begin(AT - 1)).toBe(oldHash)
  })

  test('serves what a plain directory holds', async () => {
    const plain = join(directory, 'plain')
    await mkdir(plain)
    await writeFile(join(plain, 'weather.tool.ts'), 'old')
    expect(await begin(AT + 5000, plain)).toBe(oldHash)
  })

  test('serves the mount, with all that needs it, where the set has no such bundle', async () => {
    await shownSince(AT - 1000)
    const definitions = [settings({ bundles: [{ name: 'files', configMap: 'files' }] }), agent('support')]
    await write(setOf(definitions, { bundles: {} }), 2)
    expect(await begin(AT + 5000)).toBe(oldHash)
  })

  test('serves the set where the mount cannot be read', async () => {
    await createAtomicWriter(place).write({ 'no name.tool.ts': 'never' })
    await shownSince(AT - 1000)
    expect((await bootFrom(directory, registry, { mounts: [{ name: 'files', directory: place }], now: AT })).type).toBe(
      'served',
    )
    expect(registry.state().bundles.files).toEqual({ active: push(GOOD).hash })
  })
})

describe('a runtime without one waits for its operator', () => {
  test('where the directory is not there, or empty', async () => {
    expect(await boot()).toEqual({ type: 'waiting', problems: [] })
    expect(await bootFrom(join(directory, 'gone'), registry)).toEqual({ type: 'waiting', problems: [] })
    expect(registry.complete).toBe(false)
  })

  test('where nothing of it is a whole set, and says why', async () => {
    await writeFile(join(directory, 'part-0'), 'hello')
    await writeFile(join(directory, 'part-1'), Buffer.alloc(BOOT_PART_BYTES * 3))
    const { type, problems } = await boot()
    expect(type).toBe('waiting')
    expect(problems).toEqual([
      'part-0 is no part of a boot set',
      'part-1 has more than 1000000 bytes: it is no part of a boot set',
    ])
    expect(registry.state()).toMatchObject({ complete: false, fence: 0 })
  })

  test('where somebody else has claimed it already', async () => {
    await write(setOf([settings()]))
    const empty = { items: {}, bundles: {}, secrets: {}, remove: { items: [], bundles: [], secrets: [] } }
    await registry.apply({ fence: 1, claim: 'other', target: { bootId: registry.bootId }, mode: 'activate', ...empty })
    const { type, problems } = await boot()
    expect([type, problems.join()]).toEqual(['waiting', 'the runtime is claimed by other, not team/main/uid'])
  })
})

import { lutimes, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  type BundlePush,
  bootPartFile,
  bundleOf,
  type Definition,
  definitionRevision,
  encodeBootSet,
  itemIdOf,
  pushOf,
  settingsSpec,
} from '../../api/index.ts'
import { createAtomicWriter } from '../../runtime/files/atomic-writer.fixture.ts'
import { type Loaded, loadManaged } from './host.ts'

let root: string
let stop: AbortController
let loaded: Loaded | undefined
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'midflight-managed-'))
  await mkdir(join(root, 'boot'))
  stop = new AbortController()
})
afterEach(async () => {
  stop.abort()
  await loaded?.session.ended
  await rm(root, { recursive: true, force: true })
})

const mount = (name: string, prompt: string) =>
  createAtomicWriter(join(root, name)).write({ 'greeting.prompt.md': prompt })
const naming = (...names: readonly string[]): Definition => ({
  kind: 'Settings',
  name: 'main',
  spec: settingsSpec.parse({ bundles: names.map((name) => ({ name, configMap: `${name}-files` })) }),
})
/** As an operator names ConfigMaps that a label selects. */
const selecting = (...names: readonly string[]): Definition => ({
  kind: 'Settings',
  name: 'main',
  spec: settingsSpec.parse({ bundles: names.map((name) => ({ name, configMap: name, pushedOnly: true })) }),
})
const promptIn = (bundle: string, prompt: string) =>
  bundleOf(bundle, new Map([['greeting.prompt.md', Buffer.from(prompt)]]))
const itemsOf = (definition: Definition) => ({
  [itemIdOf(definition.kind, definition.name)]: {
    owner: 'operator' as const,
    revision: definitionRevision(definition),
    definition,
  },
})
const CALLER = { claim: 'team/main/uid', fence: 7 }

async function writeBootSet(
  definition: Definition,
  {
    bundles = {},
    writtenAt = '2026-01-01T00:00:00Z',
  }: { bundles?: Record<string, BundlePush>; writtenAt?: string } = {},
): Promise<void> {
  const content = { items: itemsOf(definition), bundles, secrets: {}, pins: {} }
  const stamp = { sequence: 1, writtenAt }
  const parts = encodeBootSet({ runtime: 'team/main', ...CALLER, ...content }, stamp)
  await Promise.all(parts.map((part, slot) => writeFile(join(root, 'boot', bootPartFile(slot)), part)))
}

/** A pod whose template has mounts of b1 and b2. */
async function start(bootSet?: string): Promise<Loaded> {
  const bundles = ['b1', 'b2'].map((name) => ({ name, directory: join(root, name), standsIn: false }))
  loaded = await loadManaged({ bundles, bootSet, tell: () => undefined }, stop.signal)
  return loaded
}

const declare = ({ runtime: { registry } }: Loaded, definition: Definition) =>
  registry.apply({
    ...CALLER,
    target: { bootId: registry.bootId },
    mode: 'activate',
    items: itemsOf(definition),
    bundles: {},
    secrets: {},
    remove: { items: [], bundles: [], secrets: [] },
  })

/** What every bundle that serves says. */
const served = ({ runtime: { registry } }: Loaded) =>
  Object.fromEntries(
    [...registry.current.bundles].map(([name, { prompts }]) => [name, [...prompts.values()].map(({ text }) => text)]),
  )

async function until(serves: () => boolean, { runtime: { registry } }: Loaded): Promise<void> {
  const { lastEventId } = registry.state()
  if (serves()) return
  for await (const _ of registry.events(stop.signal, lastEventId)) if (serves()) return
}

describe('the mounts of a pod', () => {
  beforeEach(async () => {
    await mount('b1', 'one')
    await mount('b2', 'two')
  })

  test('serve when its boot set names them, and no others', async () => {
    await writeBootSet(naming('b1'))
    const pod = await start(join(root, 'boot'))
    expect(served(pod)).toEqual({ b1: ['one'] })
    expect(Object.keys(pod.runtime.registry.state().bundles)).toEqual(['b1'])
    expect(pod.runtime.registry.complete).toBe(true)
  })

  test('serve as soon as settings name them, without a push, and go with settings that name them no more', async () => {
    await writeBootSet(naming('b1'))
    const pod = await start(join(root, 'boot'))
    await declare(pod, naming('b1', 'b2'))
    expect(served(pod)).toEqual({ b1: ['one'], b2: ['two'] })
    await declare(pod, naming('b2'))
    expect(served(pod)).toEqual({ b2: ['two'] })
  })

  test('serve in a process that starts again only what they have been given since the boot set was written', async () => {
    const bundles = Object.fromEntries(['b1', 'b2'].map((name) => [name, pushOf(promptIn(name, 'pushed over'))]))
    const [aMinuteAgo, anHourAgo] = [Date.now() - 60_000, Date.now() / 1000 - 3600]
    await writeBootSet(naming('b1', 'b2'), { bundles, writtenAt: new Date(aMinuteAgo).toISOString() })
    await lutimes(join(root, 'b1', '..data'), anHourAgo, anHourAgo)
    await mount('b2', 'two, while no operator ran')
    const pod = await start(join(root, 'boot'))
    expect(served(pod)).toEqual({ b1: ['pushed over'], b2: ['two, while no operator ran'] })
    await mount('b1', 'one again')
    await until(() => served(pod).b1?.[0] === 'one again', pod)
  })

  test('of a bundle that comes by the push alone serve nothing', async () => {
    await writeBootSet(selecting('b1'), { bundles: { b1: pushOf(promptIn('b1', 'selected')) } })
    const pod = await start(join(root, 'boot'))
    expect(served(pod)).toEqual({ b1: ['selected'] })
    await declare(pod, naming('b1'))
    expect(served(pod)).toEqual({ b1: ['one'] })
  })

  test('serve nothing before there are settings', async () => {
    const pod = await start(join(root, 'boot'))
    expect(served(pod)).toEqual({})
    await declare(pod, naming('b2'))
    expect(served(pod)).toEqual({ b2: ['two'] })
  })

  test('are followed while they do not serve', async () => {
    await writeBootSet(naming('b1'))
    const pod = await start(join(root, 'boot'))
    await mount('b2', 'two again')
    await mount('b1', 'one again')
    await until(() => served(pod).b1?.[0] === 'one again', pod)
    expect(served(pod)).toEqual({ b1: ['one again'] })
    await declare(pod, naming('b2'))
    await until(() => served(pod).b2?.[0] === 'two again', pod)
    expect(served(pod)).toEqual({ b2: ['two again'] })
  })

  test('all serve in a runtime that is started without a boot set, whatever the settings name', async () => {
    const pod = await start()
    expect(served(pod)).toEqual({ b1: ['one'], b2: ['two'] })
    await declare(pod, naming('b1'))
    expect(served(pod)).toEqual({ b1: ['one'], b2: ['two'] })
  })
})

describe('files that come to a mount and whose tool fails', () => {
  const bringing = (body: string) =>
    createAtomicWriter(join(root, 'b1')).write({
      'look.tool.ts': `export default { description: 'looks', execute: () => { ${body} } }\n`,
    })
  /** What five calls of it come to. */
  async function fail({ runtime: { registry } }: Loaded): Promise<string | undefined> {
    const bundle = registry.current.bundles.get('b1')
    if (bundle === undefined) throw new Error('it does not serve')
    const boom = { reason: 'ToolFailed', message: 'boom' } as const
    for (let calls = 0; calls < 5; calls += 1) await registry.called(bundle, 'look.tool.ts', boom)
    return registry.state().bundles.b1?.candidate?.outcome
  }
  async function replaced(bootSet?: string): Promise<Loaded> {
    await bringing('return 1')
    await writeBootSet(naming('b1'))
    const pod = await start(bootSet)
    const { registry } = pod.runtime
    const first = registry.state().bundles.b1?.active
    await bringing('return 2')
    await until(() => registry.state().bundles.b1?.active !== first, pod)
    return pod
  }

  test('are gone back from in a pod that the operator runs, without being asked for', async () => {
    expect(await fail(await replaced(join(root, 'boot')))).toBe('reverted')
  })

  test('stay in a runtime by hand, unless it is asked for', async () => {
    expect(await fail(await replaced())).toBeUndefined()
  })
})

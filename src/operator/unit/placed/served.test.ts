import { describe, expect, test } from '@jest/globals'
import { agentSpec, type BundlePush, settingsSpec } from '../../../api/index.ts'
import type { Seeds } from '../../boot/index.ts'
import type { Desired, PodState } from '../../ports.ts'
import { difference } from '../../sync/difference.ts'
import { Served } from './served.ts'

const EMPTY: PodState = {
  bootId: 'b',
  claimedBy: undefined,
  fence: 0,
  complete: false,
  items: new Map(),
  bundles: new Map(),
  secrets: new Map(),
  pins: new Map(),
}
const push = (hash: string): BundlePush => ({ hash, files: {} })

/** One Agent and one bundle at these revisions. */
const desiredAt = (agent: string | undefined, bundle: string | undefined, more: Partial<Desired> = {}): Desired => ({
  owner: 'operator',
  fence: 1,
  claim: 'n/r/u',
  items: new Map(
    agent === undefined
      ? []
      : [['agents/a', { revision: agent, definition: { kind: 'Agent', name: 'a', spec: agentSpec.parse({}) } }]],
  ),
  held: new Set(),
  bundles: new Map(bundle === undefined ? [] : [['files', push(bundle)]]),
  kept: new Set(),
  pins: new Map(),
  secrets: new Map(),
  keptSecrets: new Set(),
  isWhole: true,
  ...more,
})
/** What a pod is told first. */
const toldTo = (served: Served, state: PodState, desired: Desired) => {
  const { items, bundles } = served.first(state, difference(state, desired), desired)
  return [items['agents/a']?.revision, bundles.files?.hash]
}
const servedAfter = (...seen: Desired[]): Served => {
  const served = new Served()
  for (const desired of seen) served.observe(desired, () => true)
  return served
}

test('a pod that has nothing is given what served last, where nobody serves what is placed now', () => {
  const served = servedAfter(desiredAt('1', 'x'))
  const now = desiredAt('2', 'y')
  served.observe(now, () => false)
  expect(toldTo(served, EMPTY, now)).toEqual(['1', 'x'])
})

test('a pod that has some version is given what is placed now', () => {
  const served = servedAfter(desiredAt('1', 'x'))
  const now = desiredAt('2', 'y')
  const waits = { owner: 'operator', candidate: { revision: '1', outcome: 'pending' } } as const
  const state = { ...EMPTY, items: new Map([['agents/a', waits]]), bundles: new Map([['files', { active: 'x' }]]) }
  expect(toldTo(served, state, now)).toEqual(['2', 'y'])
})

test('what somebody serves by now is given at once, and so is what never served', () => {
  const now = desiredAt('2', 'y')
  expect(toldTo(servedAfter(desiredAt('1', 'x'), now), EMPTY, now)).toEqual(['2', 'y'])
  expect(toldTo(new Served(), EMPTY, now)).toEqual(['2', 'y'])
})

test('what was taken back in between is forgotten, but not what is only held', () => {
  const now = desiredAt('2', 'y')
  expect(toldTo(servedAfter(desiredAt('1', 'x'), desiredAt(undefined, undefined)), EMPTY, now)).toEqual(['2', 'y'])
  const held = desiredAt(undefined, undefined, { held: new Set(['agents/a']), kept: new Set(['files']) })
  expect(toldTo(servedAfter(desiredAt('1', 'x'), held), EMPTY, now)).toEqual(['1', 'x'])
})

test('a pod is sent nothing of an item but what travels', () => {
  const compiled = desiredAt('1', undefined)
  const item = { ...compiled.items.get('agents/a'), ref: { kind: 'Agent', name: 'a' } } as never
  const served = servedAfter({ ...compiled, items: new Map([['agents/a', item]]) })
  const now = desiredAt('2', undefined)
  const { items } = served.first(EMPTY, difference(EMPTY, now), now)
  expect(Object.keys(items['agents/a'] ?? {}).sort()).toEqual(['definition', 'owner', 'revision'])
})

const SEEDED: Seeds = {
  items: new Map([
    ['agents/a', { revision: '1', definition: { kind: 'Agent', name: 'a', spec: agentSpec.parse({}) } }],
    ['settings', { revision: 's', definition: { kind: 'Settings', name: 'r', spec: settingsSpec.parse({}) } }],
  ]),
  bundles: new Map([['files', push('x')]]),
  secrets: new Map([['llm/key', { version: '1', value: 'v' }]]),
}

describe('what is known from before this process', () => {
  test('is given to a pod that has nothing, in place of what nobody has tried', () => {
    expect(toldTo(new Served(SEEDED), EMPTY, desiredAt('2', 'y'))).toEqual(['1', 'x'])
  })

  test('is given to it also where each pod is to keep what it has, with the secrets that it takes', () => {
    const held: Partial<Desired> = {
      ...{ held: new Set(['agents/a', 'settings']), kept: 'all', keptSecrets: 'all' },
    }
    const now = desiredAt(undefined, undefined, held)
    const told = new Served(SEEDED).first(EMPTY, difference(EMPTY, now), now)
    expect([told.items['agents/a']?.revision, told.items.settings?.revision, told.bundles.files?.hash]).toEqual([
      '1',
      's',
      'x',
    ])
    expect(told.secrets).toEqual({ 'llm/key': { version: '1', value: 'v' } })
  })

  test('is not given to a pod that has some version, nor settings to one that was told any', () => {
    const state: PodState = {
      ...EMPTY,
      claimedBy: 'n/r/u',
      items: new Map([['agents/a', { owner: 'operator', active: { revision: '0', digest: '0' } }]]),
      bundles: new Map([['files', { active: 'w' }]]),
    }
    const now = desiredAt(undefined, undefined, { held: new Set(['agents/a', 'settings']), kept: 'all' })
    const told = new Served(SEEDED).first(state, difference(state, now), now)
    expect([told.items, told.bundles]).toEqual([{}, {}])
  })

  test('is given in place of a bundle that a fresh pod refused of its mount', () => {
    const refused = { mount: 'y', candidate: { hash: 'y', outcome: 'rejected' as const } }
    const now = desiredAt(undefined, 'y')
    const fresh = { ...EMPTY, bundles: new Map([['files', refused]]) }
    expect(toldTo(new Served(SEEDED), fresh, now)).toEqual([undefined, 'x'])
    expect(toldTo(new Served(SEEDED), { ...fresh, claimedBy: 'n/r/u' }, now)).toEqual([undefined, undefined])
  })

  test('counts as shown once a pod serves it, and goes when something else is shown or nothing is declared', () => {
    const served = new Served(SEEDED)
    const { items, bundles } = served.confirm((unit) => unit === 'agents/a')
    expect([[...items.keys()], [...bundles.keys()]]).toEqual([['agents/a'], []])
    expect(served.confirm(() => false).items.size).toBe(0)
    served.observe(desiredAt('1', 'y', { held: new Set(['settings']) }), (unit) => unit === 'bundle/files')
    expect([[...served.seeds.items.keys()], [...served.seeds.bundles.keys()]]).toEqual([['settings'], []])
    served.observe(desiredAt(undefined, undefined), () => false)
    expect([served.seeds.items.size, served.shown.items.size, served.shown.bundles.size]).toEqual([0, 0, 0])
  })
})

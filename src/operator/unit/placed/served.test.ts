import { expect, test } from '@jest/globals'
import { agentSpec, type BundlePush } from '../../../api/index.ts'
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

import { describe, expect, test } from '@jest/globals'
import { SETTINGS_ID } from '../../api/index.ts'
import { createVirtualClock } from '../../clock.fixture.ts'
import { agent } from '../../runtime/registry/registry.fixture.ts'
import type { Compiled, PodState } from '../ports.ts'
import type { Inputs } from './inputs.ts'
import { Settling } from './settling.ts'

type Parts = {
  readonly items?: Readonly<Record<string, string>>
  readonly held?: readonly string[]
  readonly unguarded?: readonly string[]
  readonly bundles?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
}

function inputs({ items = {}, held = [], unguarded = [], bundles = {}, secrets = {} }: Parts): Inputs {
  const compiled: Compiled = {
    items: new Map(
      Object.entries(items).map(([id, revision]) => {
        return [id, { ref: { kind: 'Agent', name: id }, revision, definition: agent('any') }]
      }),
    ),
    held: new Set(held),
    problems: [],
    bundles: [],
    secrets: [],
  }
  return {
    compiled,
    unguarded: new Set(unguarded),
    source: { type: 'managed' },
    bundles: new Map(),
    bundleViews: new Map(Object.entries(bundles).map(([name, hash]) => [name, { configMap: name, hash }])),
    secrets: new Map(Object.entries(secrets).map(([id, version]) => [id, { version, value: 'x' }])),
    unknownSecrets: new Set(),
    toolSecrets: undefined,
  }
}

const podWith = (
  items: Readonly<Record<string, string>>,
  bundles: Readonly<Record<string, string>> = {},
): PodState => ({
  bootId: 'boot',
  claimedBy: undefined,
  fence: 1,
  complete: true,
  items: new Map(
    Object.entries(items).map(([id, revision]) => [id, { owner: 'operator', active: { revision, digest: revision } }]),
  ),
  bundles: new Map(Object.entries(bundles).map(([name, active]) => [name, { active }])),
  secrets: new Map(),
  pins: new Map(),
})

function make() {
  const clock = createVirtualClock()
  const told: string[] = []
  const settling = new Settling(clock, { propagated: (kind, seconds) => void told.push(`${kind} ${seconds}`) })
  return { clock, told, settling }
}

const A = 'agents/a'
const B = 'agents/b'

describe('what changed', () => {
  test.each<[string, Parts, Parts, readonly string[]]>([
    ['nothing', { items: { [A]: '1' } }, { items: { [A]: '1' } }, []],
    ['an item with another revision', { items: { [A]: '1', [B]: '1' } }, { items: { [A]: '2', [B]: '1' } }, [A]],
    ['an item that is new', {}, { items: { [A]: '1' } }, [A]],
    ['an item that is declared no more', { items: { [A]: '1' } }, {}, [A]],
    ['an item that has become impossible', { items: { [A]: '1' } }, { held: [A] }, [A]],
    ['an item that may be placed now', { items: { [A]: '1' }, unguarded: [A] }, { items: { [A]: '1' } }, [A]],
    [
      'an item that may not be placed yet, whatever it is',
      { items: { [A]: '1' }, unguarded: [A] },
      { items: { [A]: '2' }, unguarded: [A] },
      [],
    ],
    ['a bundle', { bundles: { b: '1' } }, { bundles: { b: '2' } }, ['bundle/b']],
  ])('is told: %s', (_, before, after, expected) => {
    const { settling } = make()
    settling.take(inputs(before))
    expect([...settling.take(inputs(after)).items]).toEqual(expected)
  })

  test.each<[string, Parts, boolean]>([
    ['the same', { items: { [SETTINGS_ID]: '1', [A]: '2' }, secrets: { s: '1' } }, false],
    ['other settings', { items: { [SETTINGS_ID]: '2' }, secrets: { s: '1' } }, true],
    ['another version of a secret', { items: { [SETTINGS_ID]: '1' }, secrets: { s: '2' } }, true],
    ['a secret that is missing', { items: { [SETTINGS_ID]: '1' } }, true],
  ])('concerns everything: %s', (_, after, expected) => {
    const { settling } = make()
    settling.take(inputs({ items: { [SETTINGS_ID]: '1' }, secrets: { s: '1' } }))
    expect(settling.take(inputs(after)).isContext).toBe(expected)
  })
})

describe('how long an item is unsettled', () => {
  test('is counted from when it changed last', () => {
    const { settling, clock } = make()
    settling.take(inputs({ items: { [A]: '1', [B]: '1' } }))
    clock.advance(500)
    settling.take(inputs({ items: { [A]: '2', [B]: '1' } }))
    clock.advance(100)
    expect([settling.unsettledMs(A), settling.unsettledMs(B)]).toEqual([100, 600])
  })

  test('is counted from when what all depend on changed', () => {
    const { settling, clock } = make()
    settling.take(inputs({ items: { [A]: '1' } }))
    clock.advance(500)
    settling.take(inputs({ items: { [A]: '1' }, bundles: { b: '1' } }))
    clock.advance(70)
    expect(settling.unsettledMs(A)).toBe(70)
  })

  test('is nothing before its object may be placed, and begins then', () => {
    const { settling, clock } = make()
    settling.take(inputs({ items: { [A]: '1' }, unguarded: [A] }))
    clock.advance(5_000)
    expect(settling.unsettledMs(A)).toBe(0)
    settling.take(inputs({ items: { [A]: '1' } }))
    clock.advance(30)
    expect(settling.unsettledMs(A)).toBe(30)
  })

  test('begins anew when a pod shows something else, but not while a sync is under way', () => {
    const { settling, clock } = make()
    settling.take(inputs({ items: { [A]: '1' } }))
    clock.advance(5_000)
    settling.disturbed(A, 'other')
    expect(settling.unsettledMs(A)).toBe(5_000)
    settling.observe([podWith({ [A]: '1' })])
    settling.disturbed(A, '1')
    expect(settling.unsettledMs(A)).toBe(5_000)
    settling.disturbed(A, undefined)
    expect(settling.unsettledMs(A)).toBe(0)
  })
})

describe('a sync is whole', () => {
  test('when every object may be placed, or one could not be for 30 s', () => {
    const { settling, clock } = make()
    const unguarded = new Set([A])
    settling.take(inputs({ items: { [A]: '1', [B]: '1' }, unguarded: [A] }))
    expect([settling.isWhole(new Set()), settling.isWhole(unguarded)]).toEqual([true, false])
    clock.advance(29_999)
    expect(settling.isWhole(unguarded)).toBe(false)
    clock.advance(1)
    expect(settling.isWhole(unguarded)).toBe(true)
  })
})

describe('how long a change took', () => {
  test('is told once, by kind, when all pods show it', () => {
    const { settling, clock, told } = make()
    settling.take(inputs({ items: { [A]: '1' }, bundles: { b: 'h' } }))
    clock.advance(250)
    const pod = podWith({ [A]: '1' }, { b: 'h' })
    settling.observe([pod, pod])
    settling.observe([pod, pod])
    expect(told).toEqual(['agents 0.25', 'bundles 0.25'])
  })

  test('is not told of what a pod refused, nor without pods', () => {
    const { settling, told } = make()
    settling.take(inputs({ items: { [A]: '1' } }))
    settling.observe([])
    settling.observe([podWith({ [A]: '1' }), podWith({ [A]: '0' })])
    settling.observe([podWith({ [A]: '1' }), podWith({ [A]: '1' })])
    expect(told).toEqual([])
  })
})

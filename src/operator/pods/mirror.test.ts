import { describe, expect, test } from '@jest/globals'
import { type HeardEvent, hashText, type RuntimeEvent } from '../../api/index.ts'
import { FakeRuntime, refusing, serving } from './fake-runtime.fixture.ts'
import { createStateInterner } from './interner.ts'
import { Mirror, NOTHING } from './mirror.ts'

function mirrorOf(runtime: FakeRuntime): Mirror {
  return new Mirror(runtime.content(), createStateInterner())
}

function withTwoItems(): FakeRuntime {
  const runtime = new FakeRuntime()
  runtime.item('agents/a', serving('a'))
  runtime.item('agents/b', serving('b'))
  return runtime
}

const told = (id: string, item = 'agents/a'): RuntimeEvent => ({
  id,
  type: 'rejected',
  item,
  state: refusing('a', 'c'),
})

describe('an event', () => {
  test('that follows the last one is taken in', () => {
    const mirror = mirrorOf(withTwoItems())
    const difference = { ...NOTHING, items: new Set(['agents/a']) }
    expect(mirror.fold(told('boot-1/3'))).toEqual({ type: 'folded', difference })
    expect(mirror.items.get('agents/a')).toEqual(refusing('a', 'c'))
    expect(mirror.seq).toBe(3)
  })

  test('that is held already changes nothing', () => {
    const mirror = mirrorOf(withTwoItems())
    expect(mirror.fold(told('boot-1/2'))).toEqual({ type: 'folded', difference: NOTHING })
    expect(mirror.items.get('agents/a')).toEqual(serving('a'))
    expect(mirror.seq).toBe(2)
  })

  test.each(['boot-1/4', 'boot-2/3', 'boot-1/x', ''])('with the id "%s" shows that some were lost', (id) => {
    const mirror = mirrorOf(withTwoItems())
    expect(mirror.fold(told(id))).toEqual({ type: 'lost' })
    expect(mirror.items.get('agents/a')).toEqual(serving('a'))
    expect(mirror.seq).toBe(2)
  })

  test('that tells what is known already counts, and is no difference', () => {
    const mirror = mirrorOf(withTwoItems())
    const event: RuntimeEvent = { id: 'boot-1/3', type: 'activated', item: 'agents/a', state: serving('a') }
    expect(mirror.fold(event)).toEqual({ type: 'folded', difference: NOTHING })
    expect(mirror.seq).toBe(3)
  })
})

test.each<HeardEvent>([
  { id: 'boot-1/3', type: 'unknown' },
  { id: 'boot-1/3', type: 'incident', at: '', reason: 'ExtensionFailed', message: 'no', bundle: 'b', count: 1 },
])('an event of type $type counts, changes nothing, and the next one follows it', (event) => {
  const mirror = mirrorOf(withTwoItems())
  expect(mirror.fold(event)).toEqual({ type: 'folded', difference: NOTHING })
  expect(mirror.fold(told('boot-1/4'))).toMatchObject({ type: 'folded', difference: { items: new Set(['agents/a']) } })
})

describe('the answer of a call that ends a whole sync', () => {
  const REQUEST: Parameters<Mirror['takeCall']>[0] = {
    fence: 1,
    claim: 'team/main@1',
    mode: 'activate',
    items: {},
    bundles: {},
    secrets: {},
    remove: { items: [], bundles: [], secrets: [] },
  }
  const answer = (lastEventId: string) => ({
    snapshot: 'boot-1/1',
    lastEventId,
    complete: true,
    items: {},
    bundles: {},
  })
  const incomplete = (): Mirror => {
    const runtime = withTwoItems()
    runtime.complete = false
    return mirrorOf(runtime)
  }

  test('makes the pod count once the events tell what it serves', () => {
    const mirror = incomplete()
    expect(mirror.takeCall(REQUEST, answer('boot-1/4')).rest).toBe(true)
    expect(mirror.complete).toBe(false)
    expect(mirror.fold(told('boot-1/3'))).toMatchObject({ difference: { rest: false } })
    expect(mirror.complete).toBe(false)
    expect(mirror.fold(told('boot-1/4', 'agents/b'))).toMatchObject({ difference: { rest: true } })
    expect(mirror.complete).toBe(true)
  })

  test('makes the pod count at once when the events are here already', () => {
    const mirror = incomplete()
    mirror.fold(told('boot-1/3'))
    mirror.takeCall(REQUEST, answer('boot-1/3'))
    expect(mirror.complete).toBe(true)
  })

  test('is overtaken by a later answer that says otherwise', () => {
    const mirror = incomplete()
    mirror.takeCall(REQUEST, answer('boot-1/3'))
    mirror.takeCall(REQUEST, { ...answer('boot-1/3'), complete: false })
    mirror.fold(told('boot-1/3'))
    expect(mirror.complete).toBe(false)
  })
})

describe('a state', () => {
  test('is taken over where it differs, and the differences are told', () => {
    const runtime = withTwoItems()
    const mirror = mirrorOf(runtime)
    runtime.item('agents/b')
    runtime.item('agents/c', serving('c'))
    runtime.bundle('support', { active: hashText('files') })
    const difference = mirror.takeUnits(runtime.content())
    expect(difference).toEqual({ items: new Set(['agents/c', 'agents/b']), bundles: true, rest: false })
    expect([...mirror.items.keys()].sort()).toEqual(['agents/a', 'agents/c'])
    expect(mirror.seq).toBe(5)
  })
})

describe('states that are alike', () => {
  test('are one object, up to 16 different ones of an item', () => {
    const interner = createStateInterner()
    const states = Array.from({ length: 20 }, (_, n) => interner.take('agents/a', serving(`v${n}`)).state)
    expect(interner.size).toBe(16)
    expect(interner.take('agents/a', serving('v3')).state).toBe(states[3])
    for (const state of states) interner.release('agents/a', state)
    expect(interner.size).toBe(1)
    interner.release('agents/a', serving('v3'))
    expect(interner.size).toBe(1)
    interner.release('agents/a', states[3] ?? serving('v3'))
    expect(interner.size).toBe(0)
  })
})

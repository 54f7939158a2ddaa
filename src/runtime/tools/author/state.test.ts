import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createStateStore, createStates, defineStateIn, MAX_STATE_BYTES, type StateSession } from './state.ts'

describe('a state', () => {
  const define = (values = {}) => defineStateIn(createStates(values))
  test('is its initial value until it is set, and what was set from then on', () => {
    const count = define()('count', 1)
    expect(count.value).toBe(1)
    count.value = 2
    expect(count.value).toBe(2)
  })
  test('that was set to null is null, not its initial value', () => {
    const state = define()('x', 'initial')
    state.value = null
    expect(state.value).toBeNull()
  })
  test('is what another version set before', () => {
    expect(define({ count: 7 })('count', 1).value).toBe(7)
  })
  test('is frozen all through, so that a change that would be lost throws', () => {
    const state = define()('list', [{ n: 1 }]) as { value: { n: number }[] }
    expect(() => state.value.push({ n: 2 })).toThrow(TypeError)
    state.value = [{ n: 3 }]
    const [first] = state.value
    expect(() => Object.assign(first ?? {}, { n: 4 })).toThrow(TypeError)
  })
  test('does not change with the object that it was set to', () => {
    const state = define()('x', {})
    const given = { n: 1 }
    state.value = given
    given.n = 2
    expect(state.value).toEqual({ n: 1 })
  })
  test.each([
    ['a BigInt', 1n],
    ['a function', () => 1],
    ['binary data', new Uint8Array(1)],
  ])('cannot be %s', (_what, value) => {
    const state = define()('x', 0)
    expect(() => {
      state.value = value
    }).toThrow(/^state "x" is /)
    expect(state.value).toBe(0)
  })
  test.each(['', 'a b', 'x'.repeat(65)])('cannot be called %j', (name) => {
    expect(() => define()(name, 0)).toThrow(/must have 1 to 64/)
  })
  test('cannot make a bundle’s states larger than their bound, and goes on with what it was', () => {
    const states = createStates()
    states.write('a', 'x'.repeat(MAX_STATE_BYTES / 2))
    const state = defineStateIn(states)('b', 'small')
    expect(() => {
      state.value = 'x'.repeat(MAX_STATE_BYTES / 2)
    }).toThrow(/^state "b" makes more than 1048576 bytes/)
    expect(state.value).toBe('small')
    states.write('a', '')
    state.value = 'x'.repeat(MAX_STATE_BYTES / 2)
    expect(states.read('b')).toHaveLength(MAX_STATE_BYTES / 2)
  })
})

describe('the store of states', () => {
  test('keeps what a version sets aside until it may serve', () => {
    const store = createStateStore()
    const serving = store.open('support')
    serving.states.write('n', 1)
    serving.settle()
    const candidate = store.open('support')
    candidate.states.write('n', 2)
    expect([serving.states.read('n'), candidate.states.read('n')]).toEqual([1, 2])
    candidate.settle()
    expect([serving.states.read('n'), candidate.states.read('n')]).toEqual([2, 2])
  })
  test('forgets what a refused version set', () => {
    const store = createStateStore()
    const serving = store.open('support')
    serving.settle()
    const refused = store.open('support')
    refused.states.write('n', 2)
    refused.close()
    expect(serving.states.read('n')).toBeUndefined()
  })
  test('refuses a version that has set too much together with what is there, and takes nothing of it', () => {
    const store = createStateStore()
    const [serving, candidate] = [store.open('support'), store.open('support')]
    candidate.states.write('a', 'kept aside')
    candidate.states.write('b', 'x'.repeat(MAX_STATE_BYTES / 2))
    serving.settle()
    serving.states.write('c', 'x'.repeat(MAX_STATE_BYTES / 2))
    expect(() => candidate.settle()).toThrow(/state "b" makes more than 1048576 bytes/)
    expect(Object.keys(serving.values())).toEqual(['c'])
    serving.states.write('c', '')
    candidate.settle()
    expect(serving.states.read('a')).toBe('kept aside')
  })
  test('takes values together that fit only because one of them becomes smaller', () => {
    const store = createStateStore()
    const [serving, candidate] = [store.open('support'), store.open('support')]
    serving.settle()
    serving.states.write('z', 'x'.repeat(MAX_STATE_BYTES / 2))
    candidate.states.write('a', 'x'.repeat(MAX_STATE_BYTES / 2))
    candidate.states.write('z', '')
    candidate.settle()
    expect(serving.states.read('z')).toBe('')
  })
  test('takes what a version sets whose modules a newer one has kept', () => {
    const store = createStateStore()
    const [old, next] = [store.open('support'), store.open('support')]
    for (const version of [old, next]) version.settle()
    old.close()
    old.states.write('n', 3)
    expect(next.states.read('n')).toBe(3)
  })
  test('drops a bundle’s states with its last version, and keeps bundles apart', () => {
    const store = createStateStore()
    const [a, b] = [store.open('a'), store.open('b')]
    for (const version of [a, b]) version.settle()
    a.states.write('n', 1)
    expect(b.states.read('n')).toBeUndefined()
    a.close()
    a.close()
    expect(store.open('a').values()).toEqual({})
  })

  const version = fc.nat({ max: 4 })
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ type: fc.constant('open' as const), version, bundle: fc.constantFrom('a', 'b') }),
    fc.record({ type: fc.constantFrom('settle' as const, 'close' as const), version }),
    fc.record({
      type: fc.constant('write' as const),
      version,
      name: fc.constantFrom('x', 'y'),
      value: fc.jsonValue({ maxDepth: 2 }),
    }),
  )

  test('is, after any opens, writes, settlings and closes, what maps of values and versions say', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const [real, model] = [new Real(), new Model()]
        for (const each of steps) {
          real[each.type](each as never)
          model[each.type](each as never)
          for (const id of model.open()) expect(real.values(id)).toEqual(model.values(id))
        }
      }),
      { seed: 606, numRuns: 300 },
    )
  })
})

type Open = { readonly type: 'open'; readonly version: number; readonly bundle: string }
type Write = { readonly type: 'write'; readonly version: number; readonly name: string; readonly value: fc.JsonValue }
type Other = { readonly type: 'settle' | 'close'; readonly version: number }
type Step = Open | Write | Other

/** Drives the store. Steps of a version that is not open, or is open already, do nothing. */
class Real {
  readonly #store = createStateStore()
  readonly #sessions = new Map<number, StateSession>()

  open({ version, bundle }: Open): void {
    if (!this.#sessions.has(version)) this.#sessions.set(version, this.#store.open(bundle))
  }
  write({ version, name, value }: Write): void {
    this.#sessions.get(version)?.states.write(name, value)
  }
  settle({ version }: Other): void {
    this.#sessions.get(version)?.settle()
  }
  close({ version }: Other): void {
    this.#sessions.get(version)?.close()
    this.#sessions.delete(version)
  }
  values(version: number): object | undefined {
    return this.#sessions.get(version)?.values()
  }
}

/** Values per bundle, dropped with its last open version; a version that is tried has writes of its own. */
class Model {
  readonly #shared = new Map<string, Map<string, unknown>>()
  readonly #versions = new Map<number, { bundle: string; tried: Map<string, unknown> | undefined }>()

  open(asked?: Open): number[] {
    if (asked !== undefined && !this.#versions.has(asked.version)) {
      this.#versions.set(asked.version, { bundle: asked.bundle, tried: new Map() })
      if (!this.#shared.has(asked.bundle)) this.#shared.set(asked.bundle, new Map())
    }
    return [...this.#versions.keys()]
  }
  write({ version, name, value }: Write): void {
    const known = this.#versions.get(version)
    const target = known?.tried ?? this.#shared.get(known?.bundle ?? '')
    target?.set(name, JSON.parse(JSON.stringify(value)))
  }
  settle({ version }: Other): void {
    const known = this.#versions.get(version)
    for (const [name, value] of known?.tried ?? []) this.#shared.get(known?.bundle ?? '')?.set(name, value)
    if (known !== undefined) known.tried = undefined
  }
  close({ version }: Other): void {
    const bundle = this.#versions.get(version)?.bundle
    this.#versions.delete(version)
    if (![...this.#versions.values()].some((other) => other.bundle === bundle)) this.#shared.delete(bundle ?? '')
  }
  values(version: number): object {
    const known = this.#versions.get(version)
    return Object.fromEntries([...(this.#shared.get(known?.bundle ?? '') ?? []), ...(known?.tried ?? [])])
  }
}

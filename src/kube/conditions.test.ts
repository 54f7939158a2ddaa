import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type Condition, isSameJson, removeCondition, setCondition, statusApply } from './conditions.ts'

const START = Date.UTC(2026, 0, 1)
const ready = (parts: Partial<Condition> = {}): Condition => ({
  type: 'Ready',
  status: 'True',
  reason: 'Served',
  message: '3 of 3',
  lastTransitionTime: '2026-01-01T00:00:00Z',
  ...parts,
})

describe('setCondition', () => {
  test('adds a condition last, with the time in whole seconds', () => {
    const { lastTransitionTime, ...update } = ready()
    const other = ready({ type: 'Accepted' })
    expect(setCondition([other], update, START + 999)).toEqual([other, { ...update, lastTransitionTime }])
  })

  test.each([
    ['status', { status: 'False' as const }, '2026-01-01T01:00:00Z'],
    ['reason', { reason: 'Serving' }, '2026-01-01T00:00:00Z'],
    ['message', { message: '2 of 3' }, '2026-01-01T00:00:00Z'],
    ['observedGeneration', { observedGeneration: 2 }, '2026-01-01T00:00:00Z'],
  ])('of a change of %s moves the transition time only with status', (_, change, lastTransitionTime) => {
    const changed = { ...ready(), ...change }
    expect(setCondition([ready()], changed, START + 3_600_000)).toEqual([{ ...changed, lastTransitionTime }])
  })

  test('gives back the very same conditions when nothing changes', () => {
    const conditions = [ready({ observedGeneration: 1 })]
    const { type, status, reason, message } = ready()
    const update = { message, observedGeneration: 1, reason, status, type }
    expect(setCondition(conditions, update, START + 1)).toBe(conditions)
  })

  test('cuts a message to 32,768 characters and never through one', () => {
    const [condition] = setCondition([], ready({ message: `${'x'.repeat(32_767)}😀 and more` }), START)
    expect(condition?.message).toBe('x'.repeat(32_767))
  })

  test.each(['', 'not ready', 'notReady', 'Not_Ready'])('refuses "%s" as a reason', (reason) => {
    expect(() => setCondition([], ready({ reason }), START)).toThrow('CamelCase')
  })

  test('holds one condition of a type, with the transition time of its last change of status', () => {
    const update = fc.record({
      type: fc.constantFrom('Ready', 'Accepted'),
      status: fc.constantFrom('True' as const, 'False' as const),
      reason: fc.constantFrom('One', 'Two'),
      message: fc.constantFrom('', 'told'),
    })
    fc.assert(
      fc.property(fc.array(update, { maxLength: 30 }), (updates) => {
        let conditions: readonly Condition[] = []
        const expected = new Map<string, { status: string; since: number }>()
        for (const [second, each] of updates.entries()) {
          conditions = setCondition(conditions, each, START + second * 1_000)
          if (expected.get(each.type)?.status !== each.status) {
            expected.set(each.type, { status: each.status, since: START + second * 1_000 })
          }
        }
        const told = conditions.map(({ type, status, lastTransitionTime }) => {
          return [type, { status, since: Date.parse(lastTransitionTime) }] as const
        })
        expect(told).toEqual([...expected])
      }),
    )
  })
})

test('removeCondition takes one type away and leaves the others', () => {
  const conditions = [ready(), ready({ type: 'Stalled' })]
  expect(removeCondition(conditions, 'Stalled')).toEqual([ready()])
  expect(removeCondition(conditions, 'Unknown')).toBe(conditions)
})

test('two values are the same whatever the order of their keys, and with fields that are undefined', () => {
  expect(isSameJson({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1, e: undefined })).toBe(true)
  expect(isSameJson({ a: [1, 2] }, { a: [2, 1] })).toBe(false)
  expect(isSameJson(undefined, {})).toBe(false)
})

test('statusApply holds nothing but the identity, the version it was computed from and the status', () => {
  const object = {
    apiVersion: 'example.dev/v1',
    kind: 'Thing',
    metadata: { name: 'a', namespace: 'x', uid: 'u1', resourceVersion: '7', labels: { not: 'mine' } },
    spec: { not: 'mine' },
  }
  expect(statusApply(object, { phase: 1 }, 'example-status')).toEqual({
    name: { name: 'a', namespace: 'x', subresource: 'status' },
    patch: {
      type: 'apply',
      fieldManager: 'example-status',
      force: true,
      body: {
        apiVersion: 'example.dev/v1',
        kind: 'Thing',
        metadata: { name: 'a', namespace: 'x', uid: 'u1', resourceVersion: '7' },
        status: { phase: 1 },
      },
    },
  })
})

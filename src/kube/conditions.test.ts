import { describe, expect, test } from '@jest/globals'
import { type Condition, dateCondition, statusApply } from './conditions.ts'

const NOW = '2026-01-01T01:00:00Z'
const ready = (parts: Partial<Condition> = {}): Condition => ({
  type: 'Ready',
  status: 'True',
  reason: 'Served',
  message: '3 of 3',
  lastTransitionTime: '2026-01-01T00:00:00Z',
  ...parts,
})

describe('a condition', () => {
  test('that is new is dated now, whatever others say', () => {
    expect(dateCondition(ready(), [ready({ type: 'Accepted' })], NOW)).toEqual(ready({ lastTransitionTime: NOW }))
  })

  test.each([
    ['status', { status: 'False' as const }, NOW],
    ['reason', { reason: 'Serving' }, '2026-01-01T00:00:00Z'],
    ['message', { message: '2 of 3' }, '2026-01-01T00:00:00Z'],
    ['observedGeneration', { observedGeneration: 2 }, '2026-01-01T00:00:00Z'],
  ])('of another %s is dated anew only for the status', (_, change, lastTransitionTime) => {
    const changed = { ...ready(), ...change }
    expect(dateCondition(changed, [ready()], NOW)).toEqual({ ...changed, lastTransitionTime })
  })

  test('has a message of 32,768 characters at most, which is never cut through one', () => {
    const { message } = dateCondition(ready({ message: `${'x'.repeat(32_767)}😀 and more` }), [], NOW)
    expect(message).toBe('x'.repeat(32_767))
  })

  test.each(['', 'not ready', 'notReady', 'Not_Ready'])('has no reason "%s"', (reason) => {
    expect(() => dateCondition(ready({ reason }), [], NOW)).toThrow('CamelCase')
  })
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

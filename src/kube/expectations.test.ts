import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createVirtualClock } from '../clock.fixture.ts'
import { createExpectations } from './expectations.ts'
import { createStore } from './store.ts'
import type { KubeObject } from './types.ts'

const object = (version: number, uid = 'u1', name = 'a'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, uid, resourceVersion: `${version}` },
})

function makeExpectations(options: { limit?: number; maxAgeMs?: number } = {}) {
  const store = createStore({ log: { error: () => {} } })
  const clock = createVirtualClock()
  const expectations = createExpectations({ cache: store, clock, ...options })
  const latest = (name = 'a') => expectations.latest(name, store.get(name))?.metadata.resourceVersion
  return { store, clock, expectations, latest }
}

describe('expectations', () => {
  test('show a write until the cache does', () => {
    const { store, expectations, latest } = makeExpectations()
    store.replace([object(5)], '5')
    expectations.wrote(object(8))
    expect(latest()).toBe('8')
    store.upsert(object(7))
    expect(latest()).toBe('8')
    store.upsert(object(8))
    expect(latest()).toBe('8')
    expect(expectations.size).toBe(0)
  })

  test('show an object that was created until the cache does, so that nobody creates it twice', () => {
    const { store, expectations, latest } = makeExpectations()
    store.replace([], '5')
    expectations.wrote(object(6))
    expect(latest()).toBe('6')
  })

  test('forget what was deleted, also when the cache never showed it to anybody', () => {
    const { store, expectations, latest } = makeExpectations()
    store.replace([], '5')
    expectations.wrote(object(6))
    store.upsert(object(6))
    store.remove(object(7))
    expect(latest()).toBeUndefined()
    expect(expectations.size).toBe(0)
  })

  test('tell what is shown exactly as it was written from what somebody else has changed since', () => {
    const { store, expectations } = makeExpectations()
    store.replace([object(5)], '5')
    for (const [written, shown, isOwn] of [
      [6, 6, true],
      [8, 7, false],
      [8, 8, true],
      [9, 10, false],
    ] as const) {
      expectations.wrote(object(written))
      expect({ shown, isOwn: expectations.shown(object(shown)) }).toEqual({ shown, isOwn })
    }
    expect(expectations.size).toBe(0)
    expect(expectations.shown(object(10))).toBe(false)
  })

  test('take no answer that comes later than what the cache has seen', () => {
    const { store, expectations, latest } = makeExpectations()
    store.replace([], '5')
    store.upsert(object(6))
    store.remove(object(7))
    expectations.wrote(object(6))
    expect(expectations.size).toBe(0)
    expect(latest()).toBeUndefined()
  })

  test('forget what was replaced by another object of its name', () => {
    const { store, expectations, latest } = makeExpectations()
    store.replace([object(5)], '5')
    expectations.wrote(object(6))
    store.upsert(object(9, 'u2'))
    expect(latest()).toBe('9')
    expect(expectations.size).toBe(0)
  })

  test('show a new object although the cache still holds the earlier one of its name', () => {
    const { store, expectations } = makeExpectations()
    store.replace([object(5)], '5')
    expectations.wrote(object(9, 'u2'))
    expect(expectations.latest('a', store.get('a'))?.metadata.uid).toBe('u2')
  })

  test('keep the newest of several answers, in whatever order they come', () => {
    const { store, expectations, latest } = makeExpectations()
    store.replace([object(5)], '5')
    expectations.wrote(object(8))
    expectations.wrote(object(7))
    expect(latest()).toBe('8')
  })

  test('are bounded in number and in time', () => {
    const { store, clock, expectations, latest } = makeExpectations({ limit: 2, maxAgeMs: 1_000 })
    store.replace([], '5')
    for (const [index, name] of ['a', 'b', 'c'].entries()) expectations.wrote(object(6 + index, 'u', name))
    expect(['a', 'b', 'c'].map((name) => latest(name))).toEqual([undefined, '7', '8'])
    clock.advance(1_000)
    expect(latest('b')).toBeUndefined()
  })

  test('never let a counter that reads through them lose or repeat a step, however late the cache is', () => {
    // Steps of a writer, and how many events the watch delivers in between.
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3 }), { maxLength: 40 }), (deliveries) => {
        const { store, expectations } = makeExpectations()
        store.replace([], '1')
        const log: KubeObject[] = []
        let delivered = 0
        for (const [step, delivery] of deliveries.entries()) {
          const seen = expectations.latest('a', store.get('a'))
          expect(Number(seen?.count ?? 0)).toBe(step)
          const written = { ...object(2 + step), count: step + 1 }
          log.push(written)
          expectations.wrote(written)
          for (const event of log.slice(delivered, delivered + delivery)) store.upsert(event)
          delivered = Math.min(log.length, delivered + delivery)
        }
      }),
    )
  })
})

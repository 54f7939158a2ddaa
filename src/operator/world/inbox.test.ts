import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createInbox } from './inbox.ts'

/** A clock that goes on by so much whenever it is read. */
const steps = (ms: number) => {
  let now = 0
  return {
    monotonic: () => {
      now += ms
      return now
    },
  }
}

test('what comes now and then is handed on at once', () => {
  const seen: number[] = []
  const inbox = createInbox<number>(steps(0), (value) => seen.push(value))
  inbox.put(1)
  inbox.put(2)
  expect(seen).toEqual([1, 2])
  expect(inbox.isEmpty).toBe(true)
})

test('what comes at once leaves turns to others, and its order stays', async () => {
  const seen: (number | string)[] = []
  const inbox = createInbox<number>(steps(3), (value) => seen.push(value))
  for (let value = 0; value < 20; value++) inbox.put(value)
  expect(inbox.isEmpty).toBe(false)
  for (let turn = 0; !inbox.isEmpty; turn++) {
    seen.push(`turn ${turn}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await inbox.drained()
  expect(seen.filter((value) => typeof value === 'number')).toEqual(Array.from({ length: 20 }, (_, value) => value))
  expect(seen.filter((value) => typeof value === 'string').length).toBeGreaterThan(4)
})

test('nothing is lost, doubled or reordered, however slow the work is and whenever more comes', async () => {
  const step = fc.record({ batch: fc.nat(30), pause: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.nat(9), async (batches, ms) => {
      const seen: number[] = []
      const inbox = createInbox<number>(steps(ms), (value) => seen.push(value))
      let count = 0
      for (const { batch, pause } of batches) {
        for (let each = 0; each < batch; each++) inbox.put(count++)
        if (pause) await new Promise((resolve) => setImmediate(resolve))
      }
      await inbox.drained()
      expect(seen).toEqual(Array.from({ length: count }, (_, value) => value))
    }),
    { seed: 13, numRuns: 60 },
  )
})

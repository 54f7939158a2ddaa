import { expect, test } from '@jest/globals'
import { ReloadCallbacks, type ReloadEvent } from './callbacks.ts'

const event = (path: string, timestamp = 0): ReloadEvent => ({ path, event_type: 'modified', timestamp })
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

function callbacks() {
  const failures: unknown[] = []
  return { failures, callbacks: new ReloadCallbacks((error) => void failures.push(error)) }
}

test('a callback that throws or rejects is told of, called again, and stops no other', async () => {
  const { failures, callbacks: all } = callbacks()
  const seen: string[] = []
  all.add(() => {
    throw new Error('thrown')
  })
  all.add(async () => Promise.reject(new Error('rejected')))
  all.add(({ path }) => void seen.push(path))
  all.tell(event('a'))
  await settled()
  all.tell(event('a'))
  await settled()
  expect(seen).toEqual(['a', 'a'])
  expect(failures.map(String)).toEqual(['Error: thrown', 'Error: rejected', 'Error: thrown', 'Error: rejected'])
})

test('calls for one file come in order, each after the one before has ended; other files do not wait', async () => {
  const { callbacks: all } = callbacks()
  const first = Promise.withResolvers<void>()
  const seen: string[] = []
  all.add(async ({ path, timestamp }) => {
    seen.push(`${path}${timestamp}`)
    if (path === 'a' && timestamp === 1) await first.promise
  })
  for (const each of [event('a', 1), event('a', 2), event('b', 1)]) all.tell(each)
  await settled()
  expect(seen).toEqual(['a1', 'b1'])
  first.resolve()
  await settled()
  expect(seen).toEqual(['a1', 'b1', 'a2'])
})

test('one that has ended is not called any more, not even for what waited', async () => {
  const { callbacks: all } = callbacks()
  const seen: number[] = []
  const end = all.add(({ timestamp }) => void seen.push(timestamp))
  all.tell(event('a', 1))
  end()
  all.tell(event('a', 2))
  await settled()
  expect(seen).toEqual([])
})

test('what waits for a callback that never ends is bounded', async () => {
  const { callbacks: all } = callbacks()
  const first = Promise.withResolvers<void>()
  let calls = 0
  all.add(() => {
    calls += 1
    return first.promise
  })
  for (let index = 0; index < 500; index++) all.tell(event('a', index))
  first.resolve()
  await settled()
  expect(calls).toBe(100)
})

import { describe, expect, test } from '@jest/globals'
import { EventBuffer } from './buffer.ts'

describe('an event buffer', () => {
  test('gives every value once, in order, whether it came before or after the reader', async () => {
    const buffer = new EventBuffer<number>()
    buffer.push(1)
    buffer.push(2)
    const read = Array.fromAsync(buffer)
    await Promise.resolve()
    buffer.push(3)
    buffer.end()
    expect(await read).toEqual([1, 2, 3])
  })

  test('a second reader goes on where the first stopped', async () => {
    const buffer = new EventBuffer<number>()
    for (const value of [1, 2, 3]) buffer.push(value)
    buffer.end()
    for await (const _ of buffer) break
    expect(await Array.fromAsync(buffer)).toEqual([2, 3])
  })

  test('ends every reader that waits', async () => {
    const buffer = new EventBuffer<number>()
    const readers = [Array.fromAsync(buffer), Array.fromAsync(buffer)]
    buffer.end()
    expect(await Promise.all(readers)).toEqual([[], []])
  })
})

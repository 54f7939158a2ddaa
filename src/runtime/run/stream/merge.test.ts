import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { merge } from './merge.ts'

/** Yields `name0`, `name1` …, after as many turns of the microtask queue as `turns` says; then returns its name. */
async function* counting(name: string, turns: readonly number[], fails = false): AsyncGenerator<string, string> {
  for (const [index, count] of turns.entries()) {
    for (let turn = 0; turn < count; turn++) await Promise.resolve()
    yield `${name}${index}`
  }
  if (fails) throw new Error(name)
  return name
}

async function drain<T, R>(source: AsyncGenerator<T, R>): Promise<{ values: T[]; returned?: R; error?: unknown }> {
  const values: T[] = []
  try {
    for (;;) {
      const { done, value } = await source.next()
      if (done === true) return { values, returned: value }
      values.push(value)
    }
  } catch (error) {
    return { values, error }
  }
}

const pauses = fc.array(fc.array(fc.nat(4), { maxLength: 6 }), { maxLength: 6 })
const letter = (index: number) => String.fromCharCode(97 + index)

describe('merge', () => {
  test('loses nothing, keeps the order of each source, and returns in the order of the sources', async () => {
    await fc.assert(
      fc.asyncProperty(pauses, fc.integer({ min: 1, max: 4 }), async (lists, limit) => {
        const { values, returned } = await drain(
          merge(
            lists.map((list, i) => counting(letter(i), list)),
            { limit },
          ),
        )
        for (const [i, list] of lists.entries()) {
          expect(values.filter((value) => value.startsWith(letter(i)))).toEqual(list.map((_, n) => `${letter(i)}${n}`))
        }
        expect(values).toHaveLength(lists.flat().length)
        expect(returned).toEqual(lists.map((_, i) => letter(i)))
      }),
    )
  })

  test('when sources throw, hears those under way to their end and throws the first error', async () => {
    await fc.assert(
      fc.asyncProperty(pauses, fc.nat(5), async (lists, failing) => {
        fc.pre(failing < lists.length)
        const stops: unknown[] = []
        const sources = lists.map((list, i) => counting(letter(i), list, i === failing))
        const { values, error } = await drain(merge(sources, { stop: (why) => stops.push(why) }))
        expect(values).toHaveLength(lists.flat().length)
        expect(error).toEqual(new Error(letter(failing)))
        expect(stops).toEqual([error])
      }),
    )
  })

  test('runs at most as many sources as its limit, and begins none after an error', async () => {
    let running = 0
    let most = 0
    let begun = 0
    async function* source(fails: boolean): AsyncGenerator<number, void> {
      begun += 1
      most = Math.max(most, ++running)
      yield 1
      running -= 1
      if (fails) throw new Error('failed')
    }
    await drain(
      merge(
        [1, 2, 3, 4, 5].map(() => source(false)),
        { limit: 2 },
      ),
    )
    expect([most, begun]).toEqual([2, 5])
    begun = 0
    await drain(
      merge(
        [1, 2, 3, 4, 5].map((n) => source(n === 1)),
        { limit: 1 },
      ),
    )
    expect(begun).toBe(1)
  })

  test('takes in sources that a returned one leads to', async () => {
    const { values, returned } = await drain(
      merge([counting('a', [0])], { more: (name) => (name === 'a' ? [counting('b', [0]), counting('c', [])] : []) }),
    )
    expect(values).toEqual(['a0', 'b0'])
    expect(returned).toEqual(['a', 'b', 'c'])
  })

  test('a reader that leaves stops and ends every source', async () => {
    const ended: string[] = []
    async function* source(name: string): AsyncGenerator<string, void> {
      try {
        for (;;) yield name
      } finally {
        ended.push(name)
      }
    }
    let stopped = 0
    for await (const _ of merge([source('a'), source('b')], { stop: () => (stopped += 1) })) break
    expect(ended.sort()).toEqual(['a', 'b'])
    expect(stopped).toBe(1)
  })

  test('without sources it ends at once', async () => {
    expect(await drain(merge([]))).toEqual({ values: [], returned: [] })
  })
})

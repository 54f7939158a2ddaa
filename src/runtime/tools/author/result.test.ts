import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { problemFrom } from '../../files/bundle.fixture.ts'
import { MAX_RESULT_BYTES, plainJson } from './result.ts'

const plain = (value: unknown) => plainJson('the result', value)

describe('a result', () => {
  test('is what JSON gives back, for every JSON value', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => expect(plain(value)).toEqual(JSON.parse(JSON.stringify(value)))))
  })
  test.each<[string, unknown, unknown]>([
    ['undefined', undefined, null],
    ['a missing field', { a: undefined, b: 1 }, { b: 1 }],
    ['a hole in a list', [undefined, 1], [null, 1]],
    ['no number', [Number.NaN, Number.POSITIVE_INFINITY], [null, null]],
    ['a negative zero', -0, 0],
    ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
    ['an object with toJSON', { toJSON: () => ({ a: 1 }) }, { a: 1 }],
    ['an error with toJSON', Object.assign(new Error('x'), { toJSON: () => ({ a: 1 }) }), { a: 1 }],
    ['a boxed value', [Object(1), Object('x')], [1, 'x']],
    [
      'the same object twice',
      (() => {
        const o = { x: 1 }
        return [o, o]
      })(),
      [{ x: 1 }, { x: 1 }],
    ],
    ['an object without prototype', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ])('turns %s into plain JSON', (_what, value, expected) => {
    expect(plain(value)).toEqual(expected)
  })
  test('keeps __proto__ as a field', () => {
    const copy = plain(JSON.parse('{"__proto__": {"polluted": 1}}'))
    expect(JSON.stringify(copy)).toBe('{"__proto__":{"polluted":1}}')
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })
})

describe('a result is refused', () => {
  const cycle: Record<string, unknown> = { list: [] }
  cycle.list = [{ back: cycle }]
  test.each<[string, unknown, string]>([
    ['a BigInt', { items: [{ id: 1n }] }, 'items[0].id'],
    ['a function', { run: () => 1 }, 'run'],
    ['a symbol', [Symbol('x')], '[0]'],
    ['a cycle', cycle, 'list[0].back'],
    ['binary data', { image: Buffer.alloc(50_000_000) }, 'image'],
    ['bytes', { image: new ArrayBuffer(8) }, 'image'],
    ['a Map', { byId: new Map([[1, 2]]) }, 'byId'],
    ['a Set', [new Set([1])], '[0]'],
    ['an Error', { failed: new RangeError('x') }, 'failed'],
    ['a regular expression', { match: /x/ }, 'match'],
    ['a promise', { later: Promise.resolve(1) }, 'later'],
    ['a weak collection', { known: new WeakMap() }, 'known'],
  ])('for %s, and the message says where', async (_what, value, path) => {
    const problem = await problemFrom(() => plain(value))
    expect(problem).toMatchObject({
      reason: 'InvalidToolResult',
      path,
      message: expect.stringContaining(`the result at ${path} `),
    })
  })
  test('for a BigInt at the top', async () => {
    expect((await problemFrom(() => plain(1n))).message).toBe('the result is a BigInt: return a number or a string')
  })
  test('for a Map, and the message says what to return instead', async () => {
    const { message } = await problemFrom(() => plain(new Map([['a', 1]])))
    expect(message).toBe('the result is a Map: return Object.fromEntries(map), or a list of its entries')
  })
  test('when it is nested too deeply', async () => {
    let deep: unknown = 1
    for (let level = 0; level < 100_000; level += 1) deep = [deep]
    expect(await problemFrom(() => plain(deep))).toMatchObject({ reason: 'InvalidToolResult' })
  })
  test.each<[string, () => unknown]>([
    ['one string of 50 MB', () => 'x'.repeat(50_000_000)],
    ['50 MB in pieces', () => Array.from({ length: 50 }, () => 'x'.repeat(1_000_000))],
    ['an endless list', () => new Array(4_000_000_000)],
    ['a string that is too large only as JSON', () => '\u0001'.repeat(300_000)],
    ['many small objects', () => Array.from({ length: 400_000 }, () => ({}))],
  ])('for %s', async (_what, make) => {
    expect(await problemFrom(() => plain(make()))).toMatchObject({ reason: 'ToolResultTooLarge' })
  })
  test('for one byte more than the bound, not for the bound itself', async () => {
    expect(plain('x'.repeat(MAX_RESULT_BYTES - 2))).toHaveLength(MAX_RESULT_BYTES - 2)
    expect(await problemFrom(() => plain('x'.repeat(MAX_RESULT_BYTES - 1)))).toMatchObject({
      reason: 'ToolResultTooLarge',
    })
  })
})

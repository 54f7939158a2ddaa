import type { JSONObject } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { ProblemError } from '../../../api/index.ts'
import { bundleFrom, problemFrom } from '../../files/bundle.fixture.ts'
import { createInThreadHost } from './in-thread-host.ts'

const file = 'tools/t.ts'
const signal = new AbortController().signal
const options = { packages: ['zod'], timeoutMs: 1000 }

const load = (source: string) => createInThreadHost().load(bundleFrom({ [file]: source }), options)
const withExecute = (execute: string, parameters = '{ type: "object" }') =>
  load(
    `import { z } from 'zod'\nvoid z\nexport default { description: 'd', parameters: ${parameters}, execute: ${execute} }`,
  )
const call = async (execute: string, args: JSONObject = {}, parameters?: string) =>
  (await withExecute(execute, parameters)).call('t', args, { signal })

describe('a call', () => {
  test('gives the tool its arguments, a signal, the session and the run', async () => {
    const tools = await withExecute('(args, { signal, session, run }) => [args, signal.aborted, session, run]')
    const context = { signal, session: { id: 's' }, run: { id: 'r', agent: 'a' } }
    expect(await tools.call('t', { x: [1] }, context)).toEqual([
      { x: [1] },
      false,
      { id: 's' },
      { id: 'r', agent: 'a' },
    ])
  })
  test('has this, and may return a promise', async () => {
    const tools = await load(`export default { description: 'd', async execute() { return this.description } }`)
    expect(await tools.call('t', {}, { signal })).toBe('d')
  })
  test('cannot change the caller’s arguments', async () => {
    const args = { list: [1] }
    await call('(args) => { args.list.push(2); args.x = 1 }', args)
    expect(args).toEqual({ list: [1] })
  })
  test('fills in defaults of a JSON Schema', async () => {
    expect(
      await call('(args) => args', {}, '{ type: "object", properties: { unit: { type: "string", default: "C" } } }'),
    ).toEqual({ unit: 'C' })
  })
  test('applies defaults and transforms of zod', async () => {
    const schema = 'z.object({ unit: z.string().default("C"), n: z.string().transform(Number) })'
    expect(await call('(args) => args', { n: '3' }, schema)).toEqual({ unit: 'C', n: 3 })
  })
  test('takes a schema of draft 2020-12', async () => {
    const schema =
      '{ $schema: "https://json-schema.org/draft/2020-12/schema", type: "object", properties: { p: { prefixItems: [{ type: "number" }] } } }'
    expect(await problemFrom(() => call('() => 1', { p: ['x'] }, schema))).toMatchObject({
      reason: 'InvalidArguments',
      path: 'p[0]',
    })
  })
})

describe('arguments are refused', () => {
  const schema =
    '{ type: "object", properties: { city: { type: "string" }, items: { type: "array", items: { type: "object", properties: { n: { type: "integer" } } } } }, required: ["city"], additionalProperties: false }'
  const zod = 'z.strictObject({ city: z.string(), items: z.array(z.object({ n: z.int() })).optional() })'
  test.each([
    ['a missing field', {}, 'city'],
    ['a wrong type', { city: 1 }, 'city'],
    ['a wrong type far in', { city: 'x', items: [{ n: 1 }, { n: 'y' }] }, 'items[1].n'],
  ])('for %s, with its path', async (_what, args, path) => {
    for (const parameters of [schema, zod])
      expect(await problemFrom(() => call('() => 1', args, parameters))).toMatchObject({
        reason: 'InvalidArguments',
        path,
        message: expect.stringContaining(path),
      })
  })
  test('for an unknown field', async () => {
    for (const parameters of [schema, zod])
      expect(await problemFrom(() => call('() => 1', { city: 'x', extra: 1 }, parameters))).toMatchObject({
        reason: 'InvalidArguments',
        message: expect.stringContaining('extra'),
      })
    const none = await load(`export default { description: 'd', execute: () => 1 }`)
    expect(await problemFrom(() => none.call('t', { x: 1 }, { signal }))).toMatchObject({
      reason: 'InvalidArguments',
      path: 'x',
    })
  })
})

describe('a call fails', () => {
  test('with what the tool throws and where, in the source as it was written', async () => {
    const source = `interface Args { readonly city: string }
enum Mode { A }
export default {
  description: 'd',
  parameters: { type: 'object' },
  async execute({ city }: Args, _context: unknown): Promise<string> {
    await null
    if (city === undefined) throw new RangeError(\`no city \${Mode.A}\`)
    return city
  },
}`
    const tools = await load(source)
    expect(await problemFrom(() => tools.call('t', {}, { signal }))).toEqual({
      reason: 'ToolFailed',
      message: 'tool t failed: RangeError: no city 0',
      file,
      line: 8,
      column: 35,
    })
  })
  test.each([
    ['a string', '() => { throw "plain" }', 'tool t failed: plain'],
    ['nothing', '() => { throw undefined }', 'tool t failed: undefined'],
    ['an object', 'async () => { throw { code: 1 } }', 'tool t failed: { code: 1 }'],
    ['a rejected promise', '() => Promise.reject(new Error("no"))', 'tool t failed: no'],
    [
      'an object that cannot be shown',
      '() => { throw { get [Symbol.toStringTag]() { throw 1 } } }',
      expect.stringContaining('tool t failed: '),
    ],
    [
      'an error whose stack cannot be read',
      '() => { throw Object.defineProperty(new Error("x"), "stack", { get() { throw 1 } }) }',
      'tool t failed: x',
    ],
    ['an endless recursion', 'function f() { return f() }', expect.stringContaining('RangeError')],
  ])('for a throw of %s', async (_what, execute, message) => {
    expect(await problemFrom(() => call(execute))).toMatchObject({ reason: 'ToolFailed', message, file })
  })
  test.each([
    ['a BigInt', '() => ({ n: 1n })', 'InvalidToolResult', 'n'],
    ['a cycle', '() => { const a = { b: {} }; a.b.a = a; return a }', 'InvalidToolResult', 'b.a'],
    ['a function', '() => () => 1', 'InvalidToolResult', undefined],
    ['a getter that throws', '() => ({ get x() { throw new Error("no") } })', 'InvalidToolResult', undefined],
    ['50 MB', '() => "x".repeat(50_000_000)', 'ToolResultTooLarge', undefined],
  ])('for a result that is %s', async (_what, execute, reason, path) => {
    const problem = await problemFrom(() => call(execute))
    expect(problem).toMatchObject({ reason, file })
    expect(problem.path).toBe(path)
  })
  test('and the next one is served', async () => {
    const tools = await withExecute('({ bad }) => { if (bad) throw new Error("bad"); return "good" }')
    await problemFrom(() => tools.call('t', { bad: true }, { signal }))
    expect(await tools.call('t', {}, { signal })).toBe('good')
  })
})

describe('an aborted call', () => {
  const IGNORES = '() => new Promise(() => {})'
  test('rejects with the problem that the signal carries, even when the tool does not care', async () => {
    const tools = await withExecute(IGNORES)
    const aborter = new AbortController()
    const called = problemFrom(() => tools.call('t', {}, { signal: aborter.signal }))
    aborter.abort(new ProblemError({ reason: 'ToolTimeout', message: 'took too long' }))
    expect(await called).toEqual({ reason: 'ToolTimeout', message: 'took too long' })
  })
  test('is ToolFailed when the signal carries something else', async () => {
    const tools = await withExecute(IGNORES)
    const aborter = new AbortController()
    const called = problemFrom(() => tools.call('t', {}, { signal: aborter.signal }))
    aborter.abort()
    expect(await called).toMatchObject({ reason: 'ToolFailed', message: expect.stringContaining('aborted') })
  })
  test('does not start when the signal was aborted before', async () => {
    const tools = await withExecute('() => { globalThis.started = true }')
    await problemFrom(() => tools.call('t', {}, { signal: AbortSignal.abort() }))
    expect(Reflect.get(globalThis, 'started')).toBeUndefined()
  })
  test('reaches the tool, and what it rejects with afterwards disturbs nobody', async () => {
    const tools = await withExecute(`(_, { signal }) => new Promise((_resolve, reject) => {
      globalThis.begun = true
      signal.addEventListener('abort', () => setImmediate(() => { globalThis.rejectedLate = true; reject(new Error('late')) }))
    })`)
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const aborter = new AbortController()
    const called = problemFrom(() => tools.call('t', {}, { signal: aborter.signal }))
    while (Reflect.get(globalThis, 'begun') !== true) await new Promise(setImmediate)
    aborter.abort()
    await called
    while (Reflect.get(globalThis, 'rejectedLate') !== true) await new Promise(setImmediate)
    await new Promise(setImmediate)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })
  test('is what dispose makes of calls under way, and dispose may be repeated', async () => {
    const tools = await withExecute(IGNORES)
    const called = problemFrom(() => tools.call('t', {}, { signal }))
    await tools.dispose()
    await tools.dispose()
    expect(await called).toMatchObject({ reason: 'ToolFailed', message: expect.stringContaining('out of service') })
  })
})

import type { JSONObject } from '@ai-sdk/provider'
import { describe, expect, test } from '@jest/globals'
import { bundleFrom, problemFrom, type Sources } from '../../files/bundle.fixture.ts'
import type { ToolCallContext, ToolHost, ToolLogLine } from '../port.ts'
import { createInThreadHost } from './in-thread-host.ts'

const signal = new AbortController().signal
const options = { packages: ['zod'], timeoutMs: 2000 }
const load = (sources: Sources, host: ToolHost = createInThreadHost(), context?: ToolCallContext) =>
  host.load(bundleFrom(sources), { ...options, context })

describe("import from 'midflight'", () => {
  test('needs no entry in the packages, and types tools and extensions without changing them', async () => {
    const bundle = bundleFrom({
      'tools/add.ts': `import { tool } from 'midflight'
        import { z } from 'zod'
        export default tool({ description: 'adds', parameters: z.object({ n: z.number() }), execute: ({ n }) => n + 1 })`,
      'extensions/run_start/a.ts': `import { extension } from 'midflight'
        export default extension<'run_start'>({ execute: ({ message }) => ({ message: message.trim() }) })`,
    })
    const set = await createInThreadHost().load(bundle, options)
    expect(await set.call('add', { n: 1 }, { signal })).toBe(2)
    expect(await set.extend('extensions/run_start/a.ts', { message: ' x ' }, { signal })).toEqual({ message: 'x' })
  })
  test('of a name that it does not have is refused with its place', async () => {
    const source = `import { tol } from 'midflight'\nexport default tol({})`
    expect(await problemFrom(() => load({ 'tools/a.ts': source }))).toMatchObject({
      reason: 'ImportNotFound',
      message: expect.stringContaining('"midflight" has no export named "tol"'),
      file: 'tools/a.ts',
      line: 1,
    })
  })
  test('reaches nothing below it', async () => {
    const source = `import x from 'midflight/internals'\nexport default x`
    expect(await problemFrom(() => load({ 'tools/a.ts': source }))).toMatchObject({ reason: 'PackageNotAllowed' })
  })
})

const COUNTER = (step: number) => `import { defineState } from 'midflight'
  const count = defineState('count', 0)
  export default { description: 'counts', execute: () => (count.value += ${step}) }`

describe('a state of a bundle', () => {
  test('survives reloads and ends with the last version', async () => {
    const host = createInThreadHost()
    const first = await load({ 'tools/count.ts': COUNTER(1) }, host)
    expect(await first.call('count', {}, { signal })).toBe(1)
    const second = await load({ 'tools/count.ts': COUNTER(10) }, host)
    await first.dispose()
    expect(await second.call('count', {}, { signal })).toBe(11)
    await second.dispose()
    const third = await load({ 'tools/count.ts': COUNTER(1) }, host)
    expect(await third.call('count', {}, { signal })).toBe(1)
  })
  test('does not take what a version set that was refused', async () => {
    const host = createInThreadHost()
    const serving = await load({ 'tools/count.ts': COUNTER(1) }, host)
    const spoilt = `${COUNTER(1)}\ncount.value = 100\nthrow new Error('after all')`
    expect(await problemFrom(() => load({ 'tools/count.ts': spoilt }, host))).toMatchObject({
      reason: 'ToolLoadFailed',
    })
    expect(await serving.call('count', {}, { signal })).toBe(1)
  })
  test('that cannot be fails the call and says why', async () => {
    const set = await load({
      'tools/a.ts': `import { defineState } from 'midflight'
const list = defineState('list', [])
export default { description: 'a', execute: () => { list.value = 1n } }`,
    })
    expect(await problemFrom(() => set.call('a', {}, { signal }))).toEqual({
      reason: 'ToolFailed',
      message: 'tool a failed: TypeError: state "list" is a BigInt: return a number or a string',
      file: 'tools/a.ts',
      line: 3,
      column: expect.any(Number),
    })
  })
})

describe('the context of a call', () => {
  test('has the secrets of now, frozen', async () => {
    const set = await load({
      'tools/a.ts': `export default { description: 'a', execute: (args, { secrets }) => {
        try { secrets.key = 'other' } catch { return [secrets.key ?? null, secrets.none ?? null] }
      } }`,
    })
    expect(await set.call('a', {}, { signal, secrets: { key: 'one' } })).toEqual(['one', null])
    expect(await set.call('a', {}, { signal, secrets: { key: 'two' } })).toEqual(['two', null])
    expect(await set.call('a', {}, { signal })).toEqual([null, null])
  })
  test('has a log that takes anything and never throws', async () => {
    const lines: ToolLogLine[] = []
    const set = await load({
      'tools/a.ts': `export default { description: 'a', execute: (args, { log }) => {
        log.info('hello', { n: 1, error: new TypeError('bad') })
        log.warn(new Error('oh'))
        log.error('big', { n: 1n })
        log.debug('x'.repeat(5000), { text: 'y'.repeat(20000) })
        log.info('throws', { get x() { throw new Error('no') } })
      } }`,
    })
    await set.call('a', {}, { signal, log: (line) => lines.push(line) })
    expect(lines).toEqual([
      { level: 'info', message: 'hello', fields: { n: 1, error: 'TypeError: bad' } },
      { level: 'warn', message: 'oh' },
      {
        level: 'error',
        message: 'big',
        fields: { left_out: 'the fields at n is a BigInt: return a number or a string' },
      },
      { level: 'debug', message: 'x'.repeat(2000), fields: { left_out: 'the fields are too large' } },
      { level: 'info', message: 'throws', fields: { left_out: 'no' } },
    ])
    expect(await set.call('a', {}, { signal })).toBeNull()
  })
})

describe('a self-test', () => {
  const tested = (body: string) => ({
    'tools/a.ts': `export default { description: 'a', execute: () => 1, selfTest({ secrets, signal, log }) {\n${body}\n} }`,
  })
  test('that passes lets the version serve, with secrets and a log', async () => {
    const lines: ToolLogLine[] = []
    const body = `if (secrets.key !== 'k' || signal.aborted) throw new Error('wrong'); log.info('tested')`
    const set = await load(tested(body), createInThreadHost(), {
      signal,
      secrets: { key: 'k' },
      log: (line) => lines.push(line),
    })
    expect([set.tools.length, lines]).toEqual([1, [{ level: 'info', message: 'tested' }]])
  })
  test('that throws refuses the version and says where', async () => {
    expect(await problemFrom(() => load(tested(`throw new Error('no table "orders"')`)))).toMatchObject({
      reason: 'SelfTestFailed',
      message: 'the self-test of tool a failed: no table "orders"',
      file: 'tools/a.ts',
      line: 2,
    })
  })
  test('that rejects refuses the version', async () => {
    expect(await problemFrom(() => load(tested(`return Promise.reject('later')`)))).toMatchObject({
      reason: 'SelfTestFailed',
      message: 'the self-test of tool a failed: later',
    })
  })
  test('must be a function', async () => {
    const source = `export default { description: 'a', execute() {}, selfTest: true }`
    expect(await problemFrom(() => load({ 'tools/a.ts': source }))).toMatchObject({ reason: 'InvalidTool' })
  })
})

describe('an extension', () => {
  const FILE = 'extensions/before_tool/a.ts'
  const extend = async (body: string, event: JSONObject = {}) =>
    (await load({ [FILE]: `export default { ${body} }` })).extend(FILE, event, { signal })
  test('that returns nothing asks for nothing', async () => {
    expect(await extend('execute() {}')).toBeNull()
  })
  test('gets an event of its own', async () => {
    const event = { arguments: { n: 1 } }
    await extend('execute(event) { event.arguments.n = 2 }', event)
    expect(event).toEqual({ arguments: { n: 1 } })
  })
  test.each([
    ['throws', `execute() {\nthrow new Error('oh')\n}`, `${FILE} failed: oh`],
    [
      'returns what is no JSON',
      'execute: () => 1n',
      `${FILE} failed: the change is a BigInt: return a number or a string`,
    ],
  ])('that %s fails with its place', async (_what, body, message) => {
    expect(await problemFrom(() => extend(body))).toMatchObject({ reason: 'ExtensionFailed', message, file: FILE })
  })
  test.each([
    ['has no default export', 'export const x = 1', 'the file has no default export'],
    ['has no execute', 'export default { run() {} }', 'execute must be a function'],
    ['is a function', 'export default () => 1', 'the default export is no object'],
    ['cannot be read', `export default { get execute() { throw new Error('oh') } }`, 'cannot be read: oh'],
  ])('that %s is refused', async (_what, source, message) => {
    const problem = await problemFrom(() => load({ [FILE]: source }))
    expect(problem).toMatchObject({ reason: 'InvalidExtension', file: FILE })
    expect(problem.message).toContain(message)
  })
  test('with a field that means nothing is warned of', async () => {
    const set = await load({ [FILE]: 'export default { execute() {}, order: 10 }' })
    expect(set.warnings).toEqual([`${FILE}: unknown field "order" of the extension; known are execute`])
  })
})

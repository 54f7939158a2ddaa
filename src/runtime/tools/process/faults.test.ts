import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import type { Problem } from '../../../api/index.ts'
import { problemFrom } from '../../files/bundle.fixture.ts'
import type { ToolSet } from '../port.ts'
import { callOf, isAlive, toolOf, triedHost, until } from './process.fixture.ts'

// A process takes its time to start where others want the CPU.
jest.setTimeout(60_000)

/** What tools do wrong, by the name of the tool, each with the cause that the metric tells and what the caller reads. */
const FAULTS: readonly (readonly [string, string, string, RegExp])[] = [
  ['exits', `() => process.exit(3)`, 'exit', /ended itself with exit code 3/],
  ['aborts', `() => process.abort()`, 'signal', /aborted \(SIGABRT\)/],
  [
    'hogs memory with small objects',
    `() => { const all = []; for (;;) all.push({ n: all.length }) }`,
    'memory',
    /of memory, more than spec.tools.memoryMiB: 128/,
  ],
  [
    'hogs memory with big arrays',
    `async () => { const all = []; for (;;) { all.push(new Array(5_000_000).fill(1)); await null } }`,
    'memory',
    /of memory, more than spec.tools.memoryMiB: 128/,
  ],
  [
    'hogs memory with buffers',
    `async () => { const all = []; for (;;) { all.push(Buffer.alloc(10_000_000, 1)); await new Promise(setImmediate) } }`,
    'memory',
    /of memory, more than spec.tools.memoryMiB: 128/,
  ],
  [
    'rejects where nobody listens',
    `() => { void Promise.reject(new Error('stray')); return new Promise(() => undefined) }`,
    'uncaught',
    /threw what nobody caught: stray/,
  ],
  [
    'throws in a timer',
    `() => { setTimeout(() => { throw new Error('late') }, 1); return new Promise(() => undefined) }`,
    'uncaught',
    /threw what nobody caught: late/,
  ],
]

const nameOf = (fault: string) => fault.replaceAll(' ', '_')

describe('a tool that', () => {
  const tried = triedHost({ memoryMiB: 128 })
  let other: ToolSet
  beforeAll(async () => {
    other = await tried.load({ 'tools/fine.ts': toolOf('() => "fine"') }, { name: 'other' })
  })
  afterAll(() => tried.close())

  test.each(FAULTS)(
    '%s is told of to its caller, replaced, and harms no other bundle',
    async (fault, body, cause, says) => {
      const set = await tried.load(
        { [`tools/${nameOf(fault)}.ts`]: toolOf(body), 'tools/fine.ts': toolOf('() => "fine"') },
        { name: nameOf(fault).slice(0, 20) },
      )
      const neighbour = callOf(other, 'fine')
      const problem = await problemFrom(() => callOf(set, nameOf(fault)))
      expect(problem).toMatchObject({ reason: 'ToolFailed', message: expect.stringMatching(says) })
      expect(tried.restarts.at(-1)).toBe(cause)
      expect([await neighbour, await callOf(set, 'fine'), await callOf(other, 'fine')]).toEqual([
        'fine',
        'fine',
        'fine',
      ])
      await set.dispose()
    },
    30_000,
  )

  test('throws where nobody listens is told with its place in the source', async () => {
    const source = `interface Options { n: number }
${toolOf(`() => {
  setTimeout(() => { throw new Error('late') }, 1)
  return new Promise(() => undefined)
}`)}`
    const set = await tried.load({ 'tools/a.ts': source })
    expect(await problemFrom(() => callOf(set, 'a'))).toMatchObject({ file: 'tools/a.ts', line: 3 })
    await set.dispose()
  })
  test('is killed by a signal is told of', async () => {
    const set = await tried.load({
      'tools/a.ts': toolOf(`(_, { log }) => { log.info('begun'); return new Promise(() => undefined) }`),
      'tools/pid.ts': toolOf('() => process.pid'),
    })
    const pid = Number(await callOf(set, 'pid'))
    const log = () => process.kill(pid, 'SIGSEGV')
    const failed = problemFrom(() => set.call('a', {}, { signal: AbortSignal.timeout(20_000), log }))
    expect(await failed).toMatchObject({ reason: 'ToolFailed', message: expect.stringContaining('crashed (SIGSEGV)') })
    expect(Number(await callOf(set, 'pid'))).not.toBe(pid)
    await set.dispose()
  })
  test('loops ends with its call, and another host takes its place', async () => {
    const set = await tried.load({
      'tools/a.ts': toolOf('() => { for (;;); }'),
      'tools/fine.ts': toolOf('() => "fine"'),
    })
    const problem = await problemFrom(() => callOf(set, 'a', {}, 200))
    expect(problem.message).toMatch(/the call of a was aborted/)
    expect(await callOf(set, 'fine')).toBe('fine')
    expect(tried.restarts.at(-1)).toBe('deadline')
    await set.dispose()
  })
  test('never answers ends with its call; its host is replaced, and goes when the calls beside it have ended', async () => {
    const set = await tried.load({
      'tools/never.ts': toolOf('() => new Promise(() => undefined)'),
      'tools/slow.ts': toolOf('() => new Promise((resolve) => setTimeout(resolve, 2_000, process.pid))'),
      'tools/pid.ts': toolOf('() => process.pid'),
    })
    const pid = Number(await callOf(set, 'pid'))
    const slow = callOf(set, 'slow')
    await problemFrom(() => callOf(set, 'never', {}, 50))
    await until(async () => Number(await callOf(set, 'pid')) !== pid)
    expect(await slow).toBe(pid)
    expect(tried.restarts.at(-1)).toBe('deadline')
    await until(() => !isAlive(pid))
    await set.dispose()
  })
  test('ends when it is told to keeps its host', async () => {
    const waits = `(_, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))`
    const set = await tried.load({ 'tools/a.ts': toolOf(waits), 'tools/pid.ts': toolOf('() => process.pid') })
    const pid = await callOf(set, 'pid')
    const restarts = tried.restarts.length
    await problemFrom(() => callOf(set, 'a', {}, 50))
    expect(await callOf(set, 'pid')).toBe(pid)
    expect(tried.restarts).toHaveLength(restarts)
    await set.dispose()
  })
})

describe('a result that', () => {
  const tried = triedHost({ memoryMiB: 512 })
  let set: ToolSet
  const RESULTS: readonly (readonly [string, string, Partial<Problem>])[] = [
    ['is_a_BigInt', '() => ({ n: 1n })', { reason: 'InvalidToolResult', path: 'n' }],
    ['has_a_cycle', '() => { const a = {}; a.a = a; return a }', { reason: 'InvalidToolResult', path: 'a' }],
    ['has_100_MB', '() => "x".repeat(100_000_000)', { reason: 'ToolResultTooLarge' }],
    [
      'has_100_MB_in_pieces',
      '() => Array.from({ length: 100 }, () => "x".repeat(1_000_000))',
      { reason: 'ToolResultTooLarge' },
    ],
    ['throws_when_it_is_read', '() => ({ get n() { throw new Error("no") } })', { reason: 'InvalidToolResult' }],
  ]
  beforeAll(async () => {
    set = await tried.load(Object.fromEntries(RESULTS.map(([name, body]) => [`tools/${name}.ts`, toolOf(body)])))
  })
  afterAll(() => tried.close())
  test.each(RESULTS)('%s is refused, and its host goes on', async (name, _, expected) => {
    expect(await problemFrom(() => callOf(set, name))).toMatchObject({ ...expected, file: `tools/${name}.ts` })
    expect(tried.restarts).toEqual([])
  })
  test('has 1 MiB arrives', async () => {
    const large = await tried.load({ 'tools/a.ts': toolOf('() => "x".repeat(1_048_574)') }, { name: 'large' })
    expect(await callOf(large, 'a')).toHaveLength(1_048_574)
  })
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, describe, expect, jest, test } from '@jest/globals'
import { problemFrom } from '../../files/bundle.fixture.ts'
import { callOf, children, isAlive, toolOf, triedHost, until } from './process.fixture.ts'

// A process takes its time to start where others want the CPU.
jest.setTimeout(60_000)

const tried = triedHost()
afterAll(() => tried.close())
const signal = new AbortController().signal

describe('a bundle', () => {
  test('gives tools and extensions that run in a process of their own', async () => {
    const set = await tried.load({
      'tools/twice.ts': `import { twice } from '../lib/twice.ts'
        export default { description: 'doubles', idempotent: true,
          parameters: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] },
          execute: ({ n }: { n: number }) => twice(n) }`,
      'tools/pid.ts': toolOf('() => process.pid'),
      'lib/twice.ts': 'export const twice = (n: number): number => 2 * n',
      'extensions/run_start/_10_greet.ts': 'export default { execute: ({ message }) => ({ message: `${message}!` }) }',
    })
    expect(set.tools).toMatchObject([
      { name: 'pid', bundle: 'support', file: 'tools/pid.ts' },
      { name: 'twice', bundle: 'support', file: 'tools/twice.ts', idempotent: true },
    ])
    expect(set.extensions).toMatchObject([{ bundle: 'support', point: 'run_start' }])
    expect(set.report).toMatchObject({ reloaded: expect.arrayContaining(['lib/twice.ts']), kept: [] })
    expect(await callOf(set, 'twice', { n: 21 })).toBe(42)
    expect(await callOf(set, 'pid')).not.toBe(process.pid)
    const event = { point: 'run_start', message: 'hello' }
    expect(await set.extend('extensions/run_start/_10_greet.ts', event, { signal })).toEqual({ message: 'hello!' })
    expect(await problemFrom(() => callOf(set, 'twice', { n: 'x' }))).toMatchObject({
      reason: 'InvalidArguments',
      path: 'n',
    })
    await set.dispose()
  })
  test('without code has no process', async () => {
    const before = children()
    const set = await tried.load({ 'prompts/a.md': 'hello' }, { name: 'prompts' })
    expect(set).toMatchObject({ tools: [], extensions: [], warnings: [] })
    expect(children()).toEqual(before)
    await set.dispose()
  })
  test('may use allowed packages, and what they depend on', async () => {
    const source = `import { z } from 'zod'
      export default { description: 'x', parameters: z.object({ n: z.int().default(3) }), execute: ({ n }) => n }`
    const set = await tried.load({ 'tools/a.ts': source }, { packages: ['zod'] })
    expect(await callOf(set, 'a')).toBe(3)
    await set.dispose()
  })
  test('imports files that only its running code names', async () => {
    const set = await tried.load({
      'tools/a.ts': toolOf(
        'async ({ name }) => (await import(`../lib/${name}.ts`)).value',
        `parameters: { type: 'object' },`,
      ),
      'lib/b.ts': 'export const value: number = 7',
    })
    expect(await callOf(set, 'a', { name: 'b' })).toBe(7)
    expect((await problemFrom(() => callOf(set, 'a', { name: 'none' }))).message).toMatch(/finds no file in the bundle/)
    await set.dispose()
  })
  test('is told session, run and secrets of the call, and logs with it', async () => {
    const lines: unknown[] = []
    const body = `({}, { session, run, secrets, log }) => { log.warn('seen', { n: 1 }); return { session, run, secrets } }`
    const set = await tried.load({ 'tools/a.ts': toolOf(body) })
    const context = { session: { id: 's' }, run: { id: 'r', agent: 'a' }, secrets: { key: 'value' } }
    const log = (line: unknown) => void lines.push(line)
    expect(await set.call('a', {}, { ...context, signal, log })).toEqual(context)
    expect(lines).toEqual([{ level: 'warn', message: 'seen', fields: { n: 1 } }])
    await set.dispose()
  })
  test('keeps what defineState holds over reloads and deaths of its host', async () => {
    const source = `import { defineState } from 'midflight'
      const count = defineState('count', 0)
      export default { description: 'x', parameters: { type: 'object' }, execute: ({ exit }) => {
        count.value += 1
        if (exit) process.exit(1)
        return count.value
      } }`
    const set = await tried.load({ 'tools/a.ts': source }, { name: 'states' })
    await callOf(set, 'a')
    await problemFrom(() => callOf(set, 'a', { exit: true }))
    const next = await tried.load({ 'tools/a.ts': `${source}\n` }, { name: 'states' })
    const counts = [await callOf(set, 'a'), await callOf(next, 'a'), await callOf(set, 'a')]
    expect(counts).toEqual([3, 4, 5])
    await Promise.all([set.dispose(), next.dispose()])
  })
  test('that takes its time to load begins with what defineState got meanwhile', async () => {
    const source = (more: string) => `import { defineState } from 'midflight'
      const count = defineState('count', 0)
      export default { description: 'x', ${more} execute: () => (count.value += 1) }`
    const set = await tried.load({ 'tools/a.ts': source('') }, { name: 'meanwhile' })
    const testing = Promise.withResolvers<unknown>()
    const selfTest = `selfTest: ({ log }) => { log.info('begun'); return new Promise((r) => setTimeout(r, 300)) },`
    const loading = tried.load(
      { 'tools/a.ts': source(selfTest) },
      { name: 'meanwhile', context: { log: testing.resolve } },
    )
    await testing.promise
    expect(await callOf(set, 'a')).toBe(1)
    const next = await loading
    expect(await callOf(next, 'a')).toBe(2)
    await Promise.all([set.dispose(), next.dispose()])
  })
})

describe('a bundle is refused', () => {
  const REFUSED: readonly (readonly [string, string, object])[] = [
    [
      'that throws',
      'const n: number = 1\nthrow new Error("no")',
      { reason: 'ToolLoadFailed', line: 2, file: 'tools/a.ts' },
    ],
    ['that V8 does not take', `let a = 1\nlet b = /(?<n>x)(?<n>y)/u`, { reason: 'InvalidSyntax' }],
    ['without an export', 'export const a = 1', { reason: 'InvalidTool' }],
    [
      'that exits',
      'process.exit(1)',
      { reason: 'ToolLoadFailed', message: expect.stringMatching(/ended itself with exit code 1/), file: 'tools/a.ts' },
    ],
    [
      'with a self-test that exits',
      toolOf('() => 1', 'selfTest() { process.exit(1) },'),
      {
        reason: 'SelfTestFailed',
        message: expect.stringMatching(/^the self-test of tool a failed: .* exit code 1/),
        file: 'tools/a.ts',
      },
    ],
    ['that loops', 'for (;;);', { reason: 'ToolLoadTimeout', file: 'tools/a.ts' }],
    ['that waits for ever', 'await new Promise(() => undefined)', { reason: 'ToolLoadTimeout', file: 'tools/a.ts' }],
    [
      'with a self-test that fails',
      toolOf('() => 1', 'selfTest() { throw new Error("bad") },'),
      { reason: 'SelfTestFailed' },
    ],
    [
      'with an import that is missing',
      `import { x } from '../lib/b.ts'\n${toolOf('() => x')}`,
      { reason: 'ImportNotFound', line: 1 },
    ],
  ]
  test.each(REFUSED)('%s, and its process is not started again', async (_, source, expected) => {
    const options = { timeoutMs: 500, name: 'refused' }
    const files = { 'tools/a.ts': source, 'lib/b.ts': 'export const y = 1' }
    await tried.load({ 'tools/fine.ts': toolOf('() => 1') }).then((set) => set.dispose())
    const restarts = tried.restarts.length
    expect(await problemFrom(() => tried.load(files, options))).toMatchObject(expected)
    expect(tried.restarts).toHaveLength(restarts)
  })
})

test('a bundle whose states are too many together with those that are set meanwhile is refused, and its process ends', async () => {
  const stateOf = (name: string) => `import { defineState } from 'midflight'; const s = defineState('${name}', '')\n`
  const half = "'x'.repeat(600_000)"
  const one = await tried.load({ 'tools/a.ts': stateOf('a') + toolOf(`() => { s.value = ${half} }`) }, { name: 'half' })
  await tried.host.ready()
  const before = children()
  const testing = Promise.withResolvers<unknown>()
  const selfTest = `selfTest: ({ log }) => { s.value = ${half}; log.info('begun'); return new Promise((r) => setTimeout(r, 300)) },`
  const loading = problemFrom(() =>
    tried.load(
      { 'tools/a.ts': stateOf('b') + toolOf('() => 1', selfTest) },
      { name: 'half', context: { log: testing.resolve } },
    ),
  )
  await testing.promise
  await callOf(one, 'a')
  expect(await loading).toMatchObject({ reason: 'ToolLoadFailed', message: expect.stringMatching(/keep less/) })
  await tried.host.ready()
  expect(children().length).toBe(before.length)
  await one.dispose()
})

describe('a runtime that has no file descriptors left', () => {
  test('says so of what it cannot load, and loads again when there are some', async () => {
    const node = [process.execPath, join(import.meta.dirname, 'shortage.fixture.ts')]
    const script = spawn('/bin/sh', ['-c', 'ulimit -n 100; exec "$@"', 'sh', ...node], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const said = JSON.parse(await text(script.stdout))
    const refused = { reason: 'ToolHostUnavailable', message: expect.stringMatching(/EMFILE.*ulimit -n/) }
    expect(said).toEqual(['loaded', 'loaded', refused, 'loaded', 'watched'])
  })
})

describe('a call that its host could not answer', () => {
  const files = {
    'tools/dies.ts': toolOf(
      `({ file }) => { if (tries.value++ === 0) process.exit(1); return tries.value }`,
      `idempotent: true, parameters: { type: 'object' },`,
    ).replace(/^/, `import { defineState } from 'midflight'\nconst tries = defineState('tries', 0)\n`),
  }
  test('is made once more when the tool says that it may be', async () => {
    const set = await tried.load(files, { name: 'idempotent' })
    expect(await callOf(set, 'dies')).toBe(2)
    await set.dispose()
  })
})

describe('code that keeps ending its host', () => {
  test('waits longer and longer for the next one, and its callers are told', async () => {
    const throttled = triedHost({ restartDelay: (deaths) => (deaths.length > 2 ? 60_000 : 0) })
    const set = await throttled.load({ 'tools/a.ts': toolOf('() => process.exit(1)') })
    for (let n = 0; n < 3; n += 1) expect((await problemFrom(() => callOf(set, 'a'))).message).toMatch(/exit code 1/)
    expect((await problemFrom(() => callOf(set, 'a'))).message).toMatch(
      /died 3 times, the last time because it ended itself with exit code 1; it is started again in 60 s/,
    )
    await throttled.close()
  })
})

describe('processes', () => {
  test('of versions that are not the newest go to sleep, and wake up for a call', async () => {
    const own = triedHost()
    const versions = []
    for (let n = 0; n < 7; n += 1) versions.push(await own.load({ 'tools/a.ts': toolOf(`() => ${n}`) }))
    await until(() => children().length <= 6 + 1 + 1)
    for (const [n, set] of versions.entries()) expect(await callOf(set, 'a')).toBe(n)
    expect(own.restarts).toEqual([])
    await own.close()
  })
  test('are all gone after the end', async () => {
    const before = children()
    const own = triedHost()
    const set = await own.load({ 'tools/loop.ts': toolOf('() => { for (;;); }') })
    const looping = problemFrom(() => callOf(set, 'loop'))
    await until(() => children().length > before.length)
    await own.close()
    expect((await looping).reason).toBe('ToolFailed')
    expect(children().filter((pid) => !before.includes(pid))).toEqual([])
  })
  test('end with the runtime, however that ends', async () => {
    const script = `import { triedHost, toolOf, children } from '${join(import.meta.dirname, 'process.fixture.ts')}'
      await triedHost().load({ 'tools/a.ts': toolOf('() => 1') })
      setInterval(() => children().length > 1 && console.log(JSON.stringify(children())), 50)`
    const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(parent.stdout, 'data')
    const pids: number[] = JSON.parse(String(line).split('\n')[0] ?? '[]')
    expect(pids.length).toBe(2)
    parent.kill('SIGKILL')
    await until(() => !pids.some(isRunning))
  })
  test('are what the kernel takes first when memory runs out', async () => {
    const set = await tried.load({ 'tools/pid.ts': toolOf('() => process.pid') })
    const pid = await callOf(set, 'pid')
    await until(() => readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim() === '1000')
    await set.dispose()
  })
})

/** A zombie that nobody waits for is as good as gone. */
const isRunning = (pid: number): boolean => isAlive(pid) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))

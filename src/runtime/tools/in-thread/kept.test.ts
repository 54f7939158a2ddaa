import { describe, expect, test } from '@jest/globals'
import { bundleFrom, problemFrom, type Sources } from '../../files/bundle.fixture.ts'
import type { ToolSet } from '../port.ts'
import { createInThreadHost } from './in-thread-host.ts'

const signal = new AbortController().signal

/** A host that loads one version after the other. */
function versions() {
  const host = createInThreadHost()
  const load = (sources: Sources, previous?: ToolSet, packages: readonly string[] = []) =>
    host.load(bundleFrom(sources), { packages, timeoutMs: 1000, previous })
  return { load }
}
const call = (set: ToolSet, name: string, args = {}) => set.call(name, args, { signal })
const tool = (body: string) => `export default { description: 'x', execute: ${body} }`

const FILES = {
  'tools/a.ts': `import { next } from '../lib/count.ts'\n${tool('() => ["a1", next()]')}`,
  'tools/b.ts': `import { next } from '../lib/count.ts'\n${tool('() => ["b1", next()]')}`,
  'lib/count.ts': 'let n = 0\nexport const next = (): number => ++n',
}
const A2 = { ...FILES, 'tools/a.ts': FILES['tools/a.ts'].replace('a1', 'a2') }

describe('the next version', () => {
  test('keeps the modules that an edit does not touch, with their state, and says so', async () => {
    const { load } = versions()
    const one = await load(FILES)
    expect([await call(one, 'a'), await call(one, 'b')]).toEqual([
      ['a1', 1],
      ['b1', 2],
    ])
    const two = await load(A2, one)
    expect([await call(two, 'a'), await call(two, 'b'), await call(one, 'a')]).toEqual([
      ['a2', 3],
      ['b1', 4],
      ['a1', 5],
    ])
    expect(one.report).toMatchObject({ reloaded: ['lib/count.ts', 'tools/a.ts', 'tools/b.ts'], kept: [] })
    expect(two.report).toMatchObject({ reloaded: ['tools/a.ts'], kept: ['lib/count.ts', 'tools/b.ts'] })
    expect(Object.values(two.report.stages).every((ms) => ms >= 0 && ms < 1000)).toBe(true)
  })
  test('has new instances of a module that changed and of all that import it', async () => {
    const { load } = versions()
    const one = await load(FILES)
    await call(one, 'a')
    const two = await load({ ...FILES, 'lib/count.ts': 'let n = 10\nexport const next = (): number => ++n' }, one)
    expect([await call(two, 'b'), await call(one, 'a')]).toEqual([
      ['b1', 11],
      ['a1', 2],
    ])
    expect(two.report.kept).toEqual([])
  })
  test('keeps everything when only comments, types or prompts change', async () => {
    const { load } = versions()
    const one = await load(FILES)
    await call(one, 'a')
    const two = await load(
      { ...FILES, 'lib/count.ts': `// how often\ntype N = number\n${FILES['lib/count.ts']}`, 'prompts/p.md': 'hi' },
      one,
    )
    expect(two.report.reloaded).toEqual([])
    expect(await call(two, 'a')).toEqual(['a1', 2])
  })
  test('shares what was not evaluated yet: whoever needs it first evaluates it for both', async () => {
    const { load } = versions()
    const files = { ...FILES, 'tools/b.ts': tool(`async () => (await import('../lib/lazy.ts')).at`) }
    const sources = { ...files, 'lib/lazy.ts': 'export const at = (globalThis.lazyAt = (globalThis.lazyAt ?? 0) + 1)' }
    const one = await load(sources)
    const two = await load({ ...sources, 'tools/a.ts': A2['tools/a.ts'] }, one)
    expect([await call(two, 'b'), await call(one, 'b')]).toEqual([1, 1])
  })
  test('does not keep a module that failed, nor what imports it', async () => {
    const { load } = versions()
    const files = {
      ...FILES,
      'tools/b.ts': tool(`async () => (await import('../lib/lazy.ts')).at`),
      'lib/lazy.ts': `globalThis.lazyFails = !globalThis.lazyFails\nif (globalThis.lazyFails) throw new Error('not yet')\nexport const at = 'well'`,
    }
    const one = await load(files)
    expect(await problemFrom(() => call(one, 'b'))).toMatchObject({ message: 'tool b failed: not yet', line: 2 })
    expect(await problemFrom(() => call(one, 'b'))).toMatchObject({ message: 'tool b failed: not yet', line: 2 })
    const two = await load({ ...files, 'tools/a.ts': A2['tools/a.ts'] }, one)
    expect(two.report).toMatchObject({ reloaded: ['tools/a.ts', 'lib/lazy.ts', 'tools/b.ts'], kept: ['lib/count.ts'] })
    expect(await call(two, 'b')).toBe('well')
  })
  test('does not keep what imports anything when other packages are allowed', async () => {
    const { load } = versions()
    const files = {
      ...FILES,
      'tools/b.ts': tool('async ({ name }) => typeof (await import(name)).z').replace(
        "'x',",
        "'x', parameters: { type: 'object' },",
      ),
    }
    const one = await load(files, undefined, ['zod'])
    expect(await call(one, 'b', { name: 'zod' })).toBe('object')
    const two = await load(files, one)
    expect(await problemFrom(() => call(two, 'b', { name: 'zod' }))).toMatchObject({ reason: 'ToolFailed' })
    expect(two.report).toMatchObject({ reloaded: ['tools/b.ts'], kept: ['lib/count.ts', 'tools/a.ts'] })
  })
  test('keeps what imports anything, and what it imported, as long as no file changes', async () => {
    const { load } = versions()
    const files = {
      'tools/a.ts': tool(`async () => (await import('../lib/' + 'other.ts')).next()`),
      'lib/other.ts': FILES['lib/count.ts'],
    }
    const one = await load(files)
    expect(await call(one, 'a')).toBe(1)
    const two = await load({ ...files, 'prompts/p.md': 'x' }, one)
    expect([await call(two, 'a'), two.report.kept]).toEqual([2, ['tools/a.ts']])
    const three = await load({ ...files, 'lib/other.ts': 'export const next = () => "new"' }, two)
    expect([await call(three, 'a'), await call(two, 'a')]).toEqual(['new', 3])
  })
})

test('an import that only the running code knows fails alone when its file is refused', async () => {
  const { load } = versions()
  const set = await load({
    'tools/a.ts': `export default { description: 'x', parameters: { type: 'object' }, execute: async ({ name }) => (await import('../lib/' + name + '.js')).at }`,
    'lib/bad.js': 'const d = () => {}\n@d class A {}',
    'lib/good.js': 'export const at = 1',
    'lib/throws.js': 'throw new Error("no")',
  })
  expect(await problemFrom(() => call(set, 'a', { name: 'bad' }))).toMatchObject({ reason: 'ToolFailed' })
  expect(await call(set, 'a', { name: 'good' })).toBe(1)
  expect(await problemFrom(() => call(set, 'a', { name: 'gone' }))).toMatchObject({
    message: expect.stringContaining('import "../lib/gone.js" finds no file in the bundle'),
  })
  expect(await problemFrom(() => call(set, 'a', { name: 'throws' }))).toMatchObject({ file: 'lib/throws.js', line: 1 })
})

describe('a version that is refused', () => {
  test.each([
    [
      'throws at load',
      { 'tools/a.ts': `import { next } from '../lib/count.ts'\nnext.call(null); throw new Error('no')` },
    ],
    ['does not parse', { 'tools/a.ts': 'let' }],
    ['has no tool', { 'tools/a.ts': 'export const x = 1' }],
    ['fails where it is waited for', { 'tools/a.ts': 'await Promise.reject(new Error("no"))' }],
  ])('because it %s leaves the one that serves as it was', async (_what, change) => {
    const { load } = versions()
    const one = await load(FILES)
    await problemFrom(() => load({ ...FILES, ...change }, one))
    const [, count] = (await call(one, 'a')) as [string, number]
    expect(count).toBeLessThanOrEqual(2)
    const two = await load(A2, one)
    expect([await call(two, 'a'), two.report.kept]).toEqual([
      ['a2', count + 1],
      ['lib/count.ts', 'tools/b.ts'],
    ])
  })
  test('because of what it was the first to need leaves that to be tried again', async () => {
    const { load } = versions()
    const files = {
      'tools/b.ts': tool(`async () => (await import('../lib/lazy.ts')).at`),
      'lib/lazy.ts': `globalThis.timesNeeded = (globalThis.timesNeeded ?? 0) + 1\nif (globalThis.timesNeeded === 1) throw new Error('not yet')\nexport const at = 'well'`,
    }
    const one = await load(files)
    const refused = { ...files, 'tools/a.ts': `import { at } from '../lib/lazy.ts'\n${tool('() => at')}` }
    expect(await problemFrom(() => load(refused, one))).toMatchObject({
      reason: 'ToolLoadFailed',
      file: 'lib/lazy.ts',
      line: 2,
    })
    expect(await call(one, 'b')).toBe('well')
  })
})

describe('an error in a module that was kept', () => {
  const failing = `interface Options { readonly a: string }
export function fail(options: Options): never {
  throw new Error('failed ' + options.a)
}`
  const files = {
    'tools/a.ts': `import { fail } from '../lib/fail.ts'\n${tool('() => fail({ a: "x" })')}`,
    'tools/b.ts': tool('() => 1'),
    'lib/fail.ts': failing,
  }
  test('is told at the line of the text that runs, although comments moved it since', async () => {
    const { load } = versions()
    const one = await load(files)
    const two = await load({ ...files, 'lib/fail.ts': `// one\n// two\n${failing}` }, one)
    const three = await load({ ...files, 'lib/fail.ts': `// one\n${failing}`, 'tools/b.ts': tool('() => 2') }, two)
    for (const set of [one, two, three])
      expect(await problemFrom(() => call(set, 'a'))).toMatchObject({ file: 'lib/fail.ts', line: 3, column: 9 })
    const four = await load({ ...files, 'lib/fail.ts': `// one\n${failing.replace('failed', 'fell')}` }, three)
    expect(await problemFrom(() => call(four, 'a'))).toMatchObject({ message: 'tool a failed: fell x', line: 4 })
  })
})

import { describe, expect, test } from '@jest/globals'
import type { Problem } from '../../../api/index.ts'
import { bundleFrom, problemFrom, type Sources } from '../../files/bundle.fixture.ts'
import { createInThreadHost } from './in-thread-host.ts'

const load = (sources: Sources, packages: readonly string[] = [], timeoutMs = 2000) =>
  createInThreadHost().load(bundleFrom(sources), { packages, timeoutMs })
const signal = new AbortController().signal
const resultOf = async (sources: Sources, name: string, packages: readonly string[] = []) =>
  (await load(sources, packages)).call(name, {}, { signal })

/** TypeScript whose first pass moves lines and columns. */
const TYPES = `import type { Gone } from './gone.ts'
interface Options {
  readonly é: string
}
enum Unit { C = 1 }
`
const tool = (body: string) => `export default { description: 'does it', execute: ${body} }`

describe('a tool file', () => {
  test('gives a tool with its name, description and parameters', async () => {
    const { tools } = await load({
      'tools/weather.ts': `export default {
        description: 'Weather of a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        execute: ({ city }: { city: string }) => city,
      }`,
      'tools/other.js': `export default { name: 'renamed', description: 'x', execute() {} }`,
    })
    expect(tools).toEqual([
      {
        name: 'renamed',
        bundle: 'support',
        file: 'tools/other.js',
        description: 'x',
        parameters: { type: 'object', properties: {}, additionalProperties: false },
      },
      {
        name: 'weather',
        bundle: 'support',
        file: 'tools/weather.ts',
        description: 'Weather of a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    ])
  })
  test('may take its parameters from zod', async () => {
    const { tools } = await load(
      {
        'tools/a.ts': `import { z } from 'zod'\nexport default { description: 'a', parameters: z.object({ n: z.int().default(1).describe('how many') }), execute: ({ n }) => n }`,
      },
      ['zod'],
    )
    expect(tools[0]?.parameters).toMatchObject({
      type: 'object',
      properties: { n: { type: 'integer', description: 'how many', default: 1 } },
    })
  })
  test('may use all of TypeScript: enums, parameter properties, namespaces, satisfies, type imports', async () => {
    const source = `${TYPES}import { Celsius, half } from '../lib/units'
      namespace N { export const x = 1 }
      class P { constructor(private readonly t: Celsius) {} get() { return half(this.t) + Unit.C + N.x } }
      export default { description: 'x', execute: () => new P(40).get() } satisfies object`
    const sources = {
      'tools/a.ts': source,
      'lib/units.ts': 'export type Celsius = number\nexport const half = (t: Celsius) => t / 2',
    }
    expect(await resultOf(sources, 'a')).toBe(22)
  })
  test('shares a helper, and its state, with the other files of its version only', async () => {
    const host = createInThreadHost()
    const bundle = bundleFrom({
      'tools/a.ts': `import { next } from '../lib/count.ts'\n${tool('() => next()')}`,
      'tools/b.ts': `import { next } from '../lib/count.ts'\n${tool('() => next()')}`,
      'lib/count.ts': 'let n = 0; export const next = () => ++n',
    })
    const options = { packages: [], timeoutMs: 1000 }
    const [one, two] = [await host.load(bundle, options), await host.load(bundle, options)]
    expect([
      await one.call('a', {}, { signal }),
      await one.call('b', {}, { signal }),
      await two.call('a', {}, { signal }),
    ]).toEqual([1, 2, 1])
  })
  test('may import allowed packages, modules of Node and JSON, and import lazily in a call', async () => {
    const source = `#!/usr/bin/env node
      import { createHash } from 'node:crypto'
      import data from '../data.json' with { type: 'json' }
      ${tool(`async () => {
        const { greet } = await import('../lib/greet.ts')
        const { z } = await import('zod')
        return [createHash('md5').update('').digest('hex').slice(0, 4), data.city, greet('you'), z.string().parse('s')]
      }`)}`
    const sources = {
      'tools/a.ts': source,
      'data.json': '{"city":"Paris"}',
      'lib/greet.ts': 'export const greet = (who: string) => `hi ${who}`',
    }
    expect(await resultOf(sources, 'a', ['zod'])).toEqual(['d41d', 'Paris', 'hi you', 's'])
  })
  test('may be called constructor or toString', async () => {
    const sources = { 'tools/constructor.ts': tool('() => 1'), 'tools/toString.ts': tool('() => 2') }
    expect([await resultOf(sources, 'constructor'), await resultOf(sources, 'toString')]).toEqual([1, 2])
    expect(await problemFrom(() => resultOf(sources, 'valueOf'))).toMatchObject({ reason: 'ToolNotFound' })
  })
  test('is warned of for an unknown field and a dynamic import that leads nowhere', async () => {
    const { warnings } = await load({
      'tools/a.ts': `export default { description: 'x', params: {}, execute: () => import('./gone.ts') }`,
    })
    expect(warnings).toEqual([
      'tools/a.ts: import "./gone.ts" finds no file in the bundle',
      'tools/a.ts: unknown field "params" of the tool; known are name, description, parameters, idempotent, execute, selfTest',
    ])
  })
})

describe('a bundle is refused', () => {
  const file = 'tools/a.ts'
  const refusals: [string, Sources, Partial<Problem>][] = [
    [
      'a syntax error',
      { [file]: `${TYPES}const é = 'ñ😀', b: = 3` },
      { reason: 'InvalidSyntax', file, line: 6, column: 21 },
    ],
    [
      'a comma that is missing, told of where it is missing',
      { [file]: 'export default {\n  a: 1\n  b: 2\n}' },
      { reason: 'InvalidSyntax', file, line: 3, column: 3 },
    ],
    [
      'a syntax error in a file it imports',
      { [file]: `import '../lib/x.ts'`, 'lib/x.ts': '\nlet' },
      { reason: 'InvalidSyntax', file: 'lib/x.ts', line: 2 },
    ],
    [
      'an export of nothing',
      { [file]: `${TYPES}\nexport { nope }` },
      { reason: 'InvalidSyntax', file, line: 7, column: 10 },
    ],
    [
      'syntax that V8 does not have',
      { 'tools/a.js': 'const a = 1\nconst deco = (x) => x\n@deco class A {}' },
      { reason: 'InvalidSyntax', file: 'tools/a.js', line: 3 },
    ],
    [
      'a syntax error in JSON',
      { [file]: `import x from './x.json'\nx`, 'tools/x.json': '{\n "a": }' },
      { reason: 'InvalidSyntax', file: 'tools/x.json', line: 2, column: 7 },
    ],
    ['a file that is not UTF-8', { [file]: new Uint8Array([0xff, 0xfe]) }, { reason: 'FileNotText', file }],
    [
      'a helper that holds NUL',
      { [file]: `import './b.js'`, 'tools/b.js': 'a\0' },
      { reason: 'FileNotText', file: 'tools/b.js', line: 1, column: 2 },
    ],
    [
      'an import of no file',
      { [file]: `${TYPES}import { x } from '../lib/gone.ts'\nx` },
      { reason: 'ImportNotFound', file, line: 6, column: 19 },
    ],
    [
      'an import out of the bundle',
      { [file]: `import x from '../../secret.ts'\nx` },
      { reason: 'ImportNotFound', file, line: 1, column: 15 },
    ],
    [
      'an import of no export',
      {
        [file]: `${TYPES}import { y } from './b.js'\ny`,
        'tools/b.js': `export default { description: 'b', execute() {} }`,
      },
      { reason: 'ImportNotFound', file, line: 6, column: 19 },
    ],
    [
      'a package that is not allowed',
      { [file]: `import x from 'left-pad'\nx()` },
      { reason: 'PackageNotAllowed', file, line: 1, column: 15 },
    ],
    [
      'a module of Node that is not allowed',
      { [file]: `import { rm } from 'node:fs'\nrm` },
      { reason: 'PackageNotAllowed', file, line: 1, column: 20 },
    ],
    [
      'an allowed package that is not installed',
      { [file]: `\nimport x from 'not-installed-here'\nx` },
      { reason: 'ImportNotFound', file, line: 2, column: 15 },
    ],
    [
      'a throw at load',
      { [file]: `${TYPES}const options: Options = { é: 'x' }\n\n  throw new TypeError(options.é + Unit.C)` },
      {
        reason: 'ToolLoadFailed',
        file,
        line: 8,
        column: 9,
        message: `${file} threw while it was loaded: TypeError: x1`,
      },
    ],
    [
      'a throw in a helper',
      {
        [file]: `import { f } from '../lib/f.ts'\n\nf<string>()`,
        'lib/f.ts': `${TYPES}export function f<T>(): T {\n  return null.x\n}`,
      },
      { reason: 'ToolLoadFailed', file: 'lib/f.ts', line: 7, column: 15 },
    ],
    [
      'a rejected top-level await',
      { [file]: 'await Promise.reject(new Error("no"))' },
      { reason: 'ToolLoadFailed', file, line: 1 },
    ],
    [
      'a throw of no error',
      { [file]: 'throw { code: 7 }' },
      { reason: 'ToolLoadFailed', file, message: `${file} threw while it was loaded: { code: 7 }` },
    ],
    ['no default export', { [file]: 'export const x = 1' }, { reason: 'InvalidTool', file }],
    ['a default export of nothing', { [file]: 'export default null' }, { reason: 'InvalidTool', file }],
    [
      'no description',
      { [file]: 'export default { execute() {} }' },
      {
        reason: 'InvalidTool',
        file,
        message: `${file}: description must be a text that tells the model what the tool does`,
      },
    ],
    [
      'no execute',
      { [file]: 'export default { description: "x" }' },
      { reason: 'InvalidTool', file, message: `${file}: execute must be a function: execute(args, { signal })` },
    ],
    [
      'a bad name',
      { [file]: 'export default { name: "a b", description: "x", execute() {} }' },
      { reason: 'InvalidTool', file },
    ],
    ['a bad name of the file', { 'tools/a.b.ts': tool('() => 1') }, { reason: 'InvalidTool', file: 'tools/a.b.ts' }],
    [
      'a bad schema',
      {
        [file]:
          'export default { description: "x", parameters: { type: "object", properties: { a: { type: "strin" } } }, execute() {} }',
      },
      { reason: 'InvalidTool', file },
    ],
    [
      'a schema of no object',
      { [file]: 'export default { description: "x", parameters: { type: "string" }, execute() {} }' },
      { reason: 'InvalidTool', file },
    ],
    [
      'a schema that refers to a cycle',
      {
        [file]:
          'const p: any = { type: "object" }; p.p = p; export default { description: "x", parameters: p, execute() {} }',
      },
      { reason: 'InvalidTool', file },
    ],
    [
      'parameters that are a text',
      { [file]: 'export default { description: "x", parameters: "city", execute() {} }' },
      { reason: 'InvalidTool', file },
    ],
    [
      'a getter that throws',
      { [file]: '\nexport default { get description() { throw new Error("no") } }' },
      { reason: 'InvalidTool', file, line: 2 },
    ],
    [
      'two files with one tool',
      { [file]: tool('() => 1'), 'tools/b.ts': 'export default { name: "a", description: "x", execute() {} }' },
      { reason: 'DuplicateTool', file: 'tools/b.ts' },
    ],
  ]
  test.each(refusals)('for %s', async (_what, sources, expected) => {
    expect(await problemFrom(() => load(sources, ['not-installed-here']))).toMatchObject(expected)
  })
  test('for a top-level await that never ends, naming the file', async () => {
    const sources = {
      'tools/a.ts': `import '../lib/slow.ts'\n${tool('() => 1')}`,
      'lib/slow.ts': 'await new Promise(() => {})',
    }
    expect(await problemFrom(() => load(sources, [], 20))).toMatchObject({
      reason: 'ToolLoadTimeout',
      file: 'lib/slow.ts',
    })
  })
  test('without an unhandled rejection when the load fails after its time', async () => {
    const source = 'await new Promise((_, reject) => { globalThis.rejectLate = reject })'
    expect(await problemFrom(() => load({ 'tools/a.ts': source }, [], 20))).toMatchObject({ reason: 'ToolLoadTimeout' })
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    Reflect.get(globalThis, 'rejectLate')(new Error('late'))
    await new Promise(setImmediate)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })
  test('with nothing evaluated when one of its files does not parse', async () => {
    const sources = { 'tools/a.ts': `globalThis.wasEvaluated = 1\n${tool('() => 1')}`, 'tools/b.ts': 'let' }
    expect(await problemFrom(() => load(sources))).toMatchObject({ reason: 'InvalidSyntax' })
    expect(Reflect.get(globalThis, 'wasEvaluated')).toBeUndefined()
  })
})

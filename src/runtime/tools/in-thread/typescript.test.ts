import { describe, expect, test } from '@jest/globals'
import { bundleFrom, problemFrom, type Sources } from '../../files/bundle.fixture.ts'
import { createInThreadHost } from './in-thread-host.ts'

const signal = new AbortController().signal
const load = (source: string, others: Sources = {}, file = 'tools/a.ts') =>
  createInThreadHost().load(bundleFrom({ [file]: source, ...others }), { packages: [], timeoutMs: 1000 })
const resultOf = async (source: string, others?: Sources) => (await load(source, others)).call('a', {}, { signal })
const returning = (value: string) => `\nexport default { description: 'x', execute: () => ${value} }`

describe('TypeScript in tools:', () => {
  test.each([
    [
      'enums',
      'enum Unit { C = 1, F, K = C << 4, Name = "n" }',
      '[Unit.C, Unit.F, Unit.K, Unit[2], Unit.Name]',
      [1, 2, 16, 'F', 'n'],
    ],
    ['const enums', 'const enum Unit { C = 1, F = "f" }', '[Unit.C, Unit.F]', [1, 'f']],
    ['enums that are merged', 'enum E { A = 1 } enum E { B = A + 1 }', '[E.A, E.B]', [1, 2]],
    [
      'namespaces',
      'namespace N { export const x = 1; export namespace M { export const y = x + 1 } }',
      '[N.x, N.M.y]',
      [1, 2],
    ],
    ['namespaces of functions', 'function f() { return f.x } namespace f { export const x = 2 }', 'f()', 2],
    [
      'parameter properties',
      'class P { constructor(private readonly a: number, public b = a + 1) {} sum() { return this.a + this.b } }',
      'new P(1).sum()',
      3,
    ],
    [
      'abstract classes and overloads',
      'abstract class A { abstract n(): number; twice(): number; twice(x: number): number; twice() { return this.n() * 2 } } class B extends A { override n(): number { return 4 } }',
      'new B().twice()',
      8,
    ],
    [
      'satisfies, as, non-null, type arguments',
      'const o = { a: 1 } satisfies Record<string, number>; const m = new Map<string, number>([["k", 2]])',
      '[o.a as unknown, m.get("k")!, <number>o.a]',
      [1, 2, 1],
    ],
    ['declared fields, which are not there', 'class D { declare x: number; y = "x" in this }', 'new D().y', false],
    [
      'accessors and private names',
      'class F { #n = 1; accessor m = 2; get n(): number { return this.#n } static s: number; static { F.s = 3 } }',
      '[new F().n, new F().m, F.s]',
      [1, 2, 3],
    ],
  ])('%s', async (_what, source, value, expected) => {
    expect(await resultOf(source + returning(value))).toEqual(expected)
  })
  test('enums of another file, and types imported without saying so', async () => {
    const others = { 'lib/unit.ts': 'export enum Unit { C = 7 }\nexport interface Options { readonly unit: Unit }' }
    const source = `import { type Options as O, Options, Unit } from '../lib/unit.ts'\nconst o: O & Options = { unit: Unit.C }`
    expect(await resultOf(source + returning('o.unit'), others)).toBe(7)
  })
})

const LOG = `const log: unknown[] = []
const told = (name: string) => (target: any, key?: string, place?: any) => {
  log.push([name, typeof target, key ?? null, typeof place === 'object' ? 'descriptor' : (place ?? null)])
}
`

describe('decorators, those of TypeScript’s experimentalDecorators,', () => {
  test('of classes, methods, accessors, fields, statics and parameters are called in its order', async () => {
    const source = `${LOG}@told('class') class A {
      @told('field') x = 1
      @told('method one') @told('method two') m(@told('parameter') a: number) {}
      @told('getter') get g() { return 1 }
      @told('static') static s() {}
      constructor(@told('of the constructor') private readonly y: number) {}
    }`
    expect(await resultOf(source + returning('log'))).toEqual([
      ['field', 'object', 'x', null],
      ['parameter', 'object', 'm', 0],
      ['method two', 'object', 'm', 'descriptor'],
      ['method one', 'object', 'm', 'descriptor'],
      ['getter', 'object', 'g', 'descriptor'],
      ['static', 'function', 's', 'descriptor'],
      ['of the constructor', 'function', null, 0],
      ['class', 'function', null, null],
    ])
  })
  test('may replace a class and a method', async () => {
    const source = `const twice = (_t: unknown, _k: string, d: PropertyDescriptor) => ({ ...d, value: () => 2 * d.value() })
      const named = (name: string) => <T extends new () => object>(C: T) => class extends C { name = name }
      @named('other') class A { name = 'own'; @twice m() { return 21 } }`
    expect(await resultOf(source + returning('[new A().name, new A().m()]'))).toEqual(['other', 42])
  })
  test('keep the line of an error', async () => {
    const source = `${LOG}@told('class')\nclass A {\n  @told('m')\n  m(): never { throw new Error('no') }\n}${returning('new A().m()')}`
    const set = await load(source)
    expect(await problemFrom(() => set.call('a', {}, { signal }))).toMatchObject({
      message: 'tool a failed: no',
      line: 8,
    })
  })
  test('are refused in JavaScript, which does not have them yet', async () => {
    expect(await problemFrom(() => load('const d = () => {}\n@d class A {}', {}, 'tools/a.js'))).toMatchObject({
      reason: 'InvalidSyntax',
      file: 'tools/a.js',
      line: 2,
    })
  })
})

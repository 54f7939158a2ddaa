import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { bundleFrom, directoryWith } from '../../files/bundle.fixture.ts'
import { compileModule } from './compile.ts'
import { ModuleTable } from './evaluate.ts'
import { createLinker } from './link.ts'
import { importPackage } from './packages.ts'

type Case = Readonly<Record<string, string>>

/** Each exports `result` from main.mjs; an error counts by its name. */
const CASES: Readonly<Record<string, Case>> = {
  'evaluation order': {
    'main.mjs':
      'import "./a.mjs"; import "./b.mjs"; log("main"); export const result = globalThis.order.splice(0)\nfunction log(x) { globalThis.order.push(x) }',
    'a.mjs': 'import "./c.mjs"; globalThis.order.push("a")',
    'b.mjs': 'import "./c.mjs"; globalThis.order.push("b")',
    'c.mjs': 'globalThis.order ??= []; globalThis.order.push("c")',
  },
  'live bindings': {
    'main.mjs':
      'import { count, add } from "./a.mjs"; const before = count; add(); export const result = [before, count]',
    'a.mjs': 'export let count = 0; export function add() { count++ }',
  },
  'an import cannot be assigned': {
    'main.mjs':
      'import * as a from "./a.mjs"; let error; try { a.x = 2 } catch (e) { error = e.name } export const result = [error, a.x]',
    'a.mjs': 'export const x = 1',
  },
  'export star: own wins, no default': {
    'main.mjs': 'import * as a from "./a.mjs"; export const result = [Object.keys(a).sort(), a.x, a.y]',
    'a.mjs': 'export * from "./b.mjs"; export const x = "own"',
    'b.mjs': 'export const x = "star", y = "y"; export default 1',
  },
  'export star through a cycle': {
    'main.mjs': 'import * as a from "./a.mjs"; export const result = [Object.keys(a).sort(), a.fromB, a.fromC]',
    'a.mjs': 'export * from "./b.mjs"; export const own = 1',
    'b.mjs': 'export * from "./a.mjs"; export * from "./c.mjs"; export const fromB = "b"',
    'c.mjs': 'import "./b.mjs"; export const fromC = "c"',
  },
  'renamed and namespace exports': {
    'main.mjs': 'import { y, ns, d } from "./a.mjs"; export const result = [y, ns.x, d]',
    'a.mjs': 'export { x as y, default as d } from "./b.mjs"; export * as ns from "./b.mjs"',
    'b.mjs': 'export const x = 1; export default 2',
  },
  'default and namespace in one statement': {
    'main.mjs':
      'import d, * as ns from "./a.mjs"; import /* a */ e /* b */ , // c\n * /* d */ as b from "./b.mjs" ; export const result = [d, ns.x, ns.default, e(), b.y, `import q, * as r from "./a.mjs"`]',
    'a.mjs': 'export const x = 1; export default 2',
    'b.mjs': 'export const y = 3; export default function () { return 4 }',
  },
  'a cycle of functions': {
    'main.mjs': 'import { even } from "./a.mjs"; export const result = [even(10), even(7)]',
    'a.mjs': 'import { odd } from "./b.mjs"; export function even(n) { return n === 0 || odd(n - 1) }',
    'b.mjs': 'import { even } from "./a.mjs"; export function odd(n) { return n !== 0 && even(n - 1) }',
  },
  'a cycle that reads too early': {
    'main.mjs': 'import "./a.mjs"; export const result = 1',
    'a.mjs': 'import "./b.mjs"; export const x = 1',
    'b.mjs': 'import { x } from "./a.mjs"; export const y = x + 1',
  },
  'a module that imports itself': {
    'main.mjs': 'import * as self from "./main.mjs"; export function f() { return 1 } export const result = self.f()',
  },
  'top-level await': {
    'main.mjs': 'import { x } from "./a.mjs"; export const result = x',
    'a.mjs': 'export let x = 1; x = await new Promise((resolve) => setTimeout(resolve, 1, 2))',
  },
  'dynamic import gives one instance': {
    'main.mjs':
      'import * as a from "./a.mjs"; const b = await import("./a.mjs"); const c = await import(`./${"a"}.mjs`); export const result = [a.id === b.id, b.id === c.id]',
    'a.mjs': 'export const id = {}',
  },
  'a dynamic import within a cycle': {
    'main.mjs': 'export let result = 0; const later = import("./a.mjs"); result = 1; export const check = later',
    'a.mjs': 'import { result } from "./main.mjs"; export const seen = result',
  },
  'a caught dynamic import': {
    'main.mjs':
      'let error; try { await import("./a.mjs") } catch (e) { error = e.message } let again; try { await import("./a.mjs") } catch (e) { again = e.message } export const result = [error, again]',
    'a.mjs': 'throw new Error("boom" + (globalThis.times = (globalThis.times ?? 0) + 1))',
  },
  'imports are hoisted': {
    'main.mjs': 'const before = x; import { x } from "./a.mjs"; export const result = before',
    'a.mjs': 'export const x = 1',
  },
  'shadowed imports': {
    'main.mjs':
      'import { x } from "./a.mjs"; function f(x) { return x } const o = { x }; const { y = x } = {}; export const result = [f(2), o.x, y, ((x) => x)(3)]',
    'a.mjs': 'export const x = 1',
  },
  'this is undefined and code is strict': {
    'main.mjs':
      'let error; try { undeclared = 1 } catch (e) { error = e.name } export const result = [typeof this, error, (function () { return typeof this })()]',
  },
  'an imported function is called without this': {
    'main.mjs': 'import { f } from "./a.mjs"; export const result = f()',
    'a.mjs': 'export function f() { return typeof this }',
  },
  'an imported function is called without this as the tag of a template': {
    'main.mjs':
      'import { f, "a b" as g } from "./a.mjs"; import h from "./a.mjs"; import * as a from "./a.mjs"; const o = { f }; export const result = [f`x`, g`x${f`y`}`, h`x`, a.f`x`, o.f`x`, (f)`x`]',
    'a.mjs': 'export function f() { return typeof this } export { f as default, f as "a b" }',
  },
  'default exports and their names': {
    'main.mjs':
      'import a from "./a.mjs"; import b from "./b.mjs"; import c from "./c.mjs"; import d from "./d.mjs"; export const result = [a.name, b.name, c.name, d]',
    'a.mjs': 'export default function () {}',
    'b.mjs': 'export default class {}',
    'c.mjs': 'export default class Named {}',
    'd.mjs': 'let x = 1; export { x as default }; x = 2',
  },
  'a throw while loading': {
    'main.mjs': 'import "./a.mjs"; export const result = 1',
    'a.mjs': 'throw new RangeError("no")',
  },
  JSON: {
    'main.mjs': 'import data from "./data.json" with { type: "json" }; export const result = data.list',
    'data.json': '{ "list": [1, { "__proto__": 2 }] }',
  },
  'import.meta': {
    'main.mjs':
      'export const result = [Object.getPrototypeOf(import.meta), new URL("./x.txt", import.meta.url).pathname.endsWith("/x.txt"), import.meta.main]',
  },
  'exports of every form': {
    'main.mjs':
      'import * as a from "./a.mjs"; export const result = [Object.keys(a).sort(), a.p, a.q, a.rest, a.f(), new a.C().x]',
    'a.mjs':
      'export const { p, q: [q], ...rest } = { p: 1, q: [2], r: 3 }; export function f() { return 4 } export class C { x = 5 } export let u; export var v',
  },
  'an anonymous default function in a cycle is there before its module runs': {
    'main.mjs': 'import f from "./a.mjs"; export default function () { return 1 } export const result = f',
    'a.mjs': 'import own from "./main.mjs"; export default [own(), own.name]',
  },
  'an anonymous default class has its name while its module waits': {
    'main.mjs': 'import { seen } from "./a.mjs"; export const result = await seen()',
    'a.mjs':
      'import * as own from "./a.mjs"; export default class {} const name = own.default.name; await 0; export const seen = async () => [name, own.default.name]',
  },
  'what awaits lets others go first': {
    'main.mjs':
      'import "./a.mjs"; import "./b.mjs"; globalThis.went.push("main"); export const result = globalThis.went.splice(0)',
    'a.mjs': 'globalThis.went ??= []; globalThis.went.push("a"); await 0; globalThis.went.push("a again")',
    'b.mjs':
      'globalThis.went ??= []; globalThis.went.push("b"); Promise.resolve().then(() => globalThis.went.push("microtask"))',
  },
  'a cycle that awaits': {
    'main.mjs': 'import { a } from "./a.mjs"; export const result = a',
    'a.mjs': 'import { b } from "./b.mjs"; export const a = [await b()]',
    'b.mjs':
      'import { a } from "./a.mjs"; let seen; try { seen = a } catch (e) { seen = e.name } await 0; export const b = async () => seen',
  },
  'names that two stars give': {
    'main.mjs':
      'import * as a from "./a.mjs"; let error; try { await import("./d.mjs") } catch (e) { error = e.name } export const result = [Object.keys(a), error]',
    'a.mjs': 'export * from "./b.mjs"; export * from "./c.mjs"',
    'b.mjs': 'export const x = 1; export { one } from "./e.mjs"',
    'c.mjs': 'export const x = 2; export { one } from "./e.mjs"',
    'd.mjs': 'import { x } from "./a.mjs"; x',
    'e.mjs': 'export const one = 1',
  },
  'stars in a cycle that hide names': {
    'main.mjs':
      'import * as a from "./a.mjs"; import * as b from "./b.mjs"; import * as c from "./c.mjs"; export const result = [a, b, c].map((all) => Object.entries(all))',
    'a.mjs': 'export * from "./b.mjs"; export const own = "a"',
    'b.mjs': 'export * from "./c.mjs"; export * from "./d.mjs"; export const x = "b"',
    'c.mjs': 'export * from "./a.mjs"; export * from "./d.mjs"; export { y as own } from "./d.mjs"',
    'd.mjs': 'export const y = "y"; export * from "./e.mjs"',
    'e.mjs': 'export const y = "e", z = "z"',
  },
  'names that lead in a circle': {
    'main.mjs':
      'import * as a from "./a.mjs"; let error; try { await import("./c.mjs") } catch (e) { error = e.name } export const result = [Object.keys(a), error]',
    'a.mjs': 'export * from "./b.mjs"; export const y = 1',
    'b.mjs': 'export * from "./a.mjs"; export { y as x } from "./a.mjs"',
    'c.mjs': 'export { x } from "./d.mjs"',
    'd.mjs': 'export { x } from "./c.mjs"',
  },
  'a name that nobody exports': {
    'main.mjs': 'import "./b.mjs"; import { x } from "./a.mjs"; export const result = x',
    'a.mjs': 'export const y = 1',
    'b.mjs': 'throw new RangeError("nothing runs")',
  },
  'awaits of every form': {
    'main.mjs':
      'const log = []; for await (const x of [1, Promise.resolve(2)]) log.push(x); { await using r = { async [Symbol.asyncDispose]() { log.push("disposed") } } } class C { [await "m"]() {} } log.push(Object.getOwnPropertyNames(C.prototype)); export const result = log',
  },
  'what is disposed of at the end of a module': {
    'main.mjs': 'import { log } from "./a.mjs"; export const result = log',
    'a.mjs':
      'export const log = []; await using r = { async [Symbol.asyncDispose]() { await 0; log.push("disposed") } }; log.push("body")',
  },
  'explicit resource management': {
    'main.mjs':
      'const log = []; { using a = { [Symbol.dispose]: () => log.push("disposed") }; log.push("body") } export const result = log',
  },
}

async function evaluateHere(files: Case): Promise<unknown> {
  const bundle = bundleFrom(files)
  const linker = createLinker(bundle, { packages: [], compile: compileModule })
  const linkDynamic = async (from: string, specifier: string) => linker.dynamic(from, specifier)
  const table = new ModuleTable(linker.program(['main.mjs']), { importPackage, linkDynamic })
  await table.prepare()
  return plain(Reflect.get(await table.evaluate('main.mjs'), 'result'))
}
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const NATIVE = `
const out = {}
for (const [name, url] of JSON.parse(process.argv[1])) {
  try { out[name] = { result: (await import(url)).result } } catch (e) { out[name] = { error: e.name } }
}
console.log(JSON.stringify(out))`

describe('a bundle’s modules do what Node’s own do:', () => {
  let native: Record<string, unknown> = {}
  beforeAll(async () => {
    const names = Object.keys(CASES)
    const all = names.flatMap((name, index) =>
      Object.entries(CASES[name] ?? {}).map(([file, text]) => [`${index}/${file}`, text]),
    )
    const { path, remove } = await directoryWith(Object.fromEntries(all))
    const urls = names.map((name, index) => [name, join(path, `${index}/main.mjs`)])
    const args = ['--input-type=module', '-e', NATIVE, JSON.stringify(urls)]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: {} })
    native = JSON.parse(stdout)
    await remove()
  })
  test.each(Object.keys(CASES))('%s', async (name) => {
    const here = await evaluateHere(CASES[name] ?? {}).then(
      (result) => ({ result }),
      (error: Error) => ({ error: error.name }),
    )
    expect(here).toEqual(native[name])
  })
})

const FILES = 100
const numbers = Array.from({ length: FILES }, (_, index) => index)
const filesOf = (source: (index: number) => string) =>
  Object.fromEntries(numbers.map((index) => [`f${index}.mjs`, source(index)]))

test.each<[string, Case, unknown]>([
  [
    'that export each other whole',
    {
      ...filesOf(
        (at) => `${numbers.map((index) => `export * from "./f${index}.mjs"`).join('\n')}\nexport const v${at} = ${at}`,
      ),
      'main.mjs': 'import * as all from "./f0.mjs"; export const result = Object.keys(all).length',
    },
    FILES,
  ],
  [
    'that all export the same names of each other',
    {
      ...filesOf(
        (at) =>
          `${numbers.map((index) => `export * from "./f${index}.mjs"`).join('\n')}\nexport const ${at < 50 ? numbers.map((name) => `v${name} = ${at}`).join() : `own${at} = 1`}`,
      ),
      'main.mjs': 'import * as all from "./f99.mjs"; export const result = Object.keys(all).length',
    },
    FILES / 2,
  ],
])(`${FILES} files %s are linked at once`, async (_what, files, expected) => {
  expect(await evaluateHere(files)).toBe(expected)
})

import fc from 'fast-check'

/** A random graph of ES modules as source text, by path; `m0.mjs` imports, in the end, some or all of the others. */
export type RandomModules = Readonly<Record<string, string>>

const COUNT = 6
const NAMES = ['x', 'y', 'z', 'default'] as const
type Name = (typeof NAMES)[number]

/** How a module comes to export a name: by itself, or from another module. */
const OWN = ['const', 'let', 'function', 'class', 'anonymous'] as const
type Export = {
  readonly name: Name
  readonly own: (typeof OWN)[number]
  readonly from?: { to: number; name: Name } | undefined
}
type Import = {
  readonly kind: 'named' | 'namespace' | 'both' | 'side' | 'star' | 'starAs' | 'json'
  readonly to: number
  readonly name: Name
  /** Whether a binding is read without care for errors. */
  readonly isBold: boolean
}
type RandomModule = {
  readonly exports: readonly Export[]
  readonly imports: readonly Import[]
  /** Turns of the microtask queue that it awaits; none, when undefined. */
  readonly awaits: number | undefined
  readonly throws: boolean
  readonly ticks: boolean
}

/** Mostly nothing, once in `times`. */
const oneOf = <T>(times: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })

const aName = fc.constantFrom(...NAMES)
const aModuleOf = (index: number): fc.Arbitrary<RandomModule> => {
  // Most edges lead on; those that lead back make cycles, some of a module with itself.
  const to = fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: Math.min(index + 1, COUNT - 1), max: COUNT - 1 }) },
    { weight: 2, arbitrary: fc.nat(COUNT - 1) },
  )
  const from = oneOf(4, fc.record({ to, name: aName }))
  const kinds = ['named', 'named', 'namespace', 'both', 'side', 'star', 'star', 'starAs', 'json'] as const
  const isBold = fc.nat(9).map((n) => n === 0)
  return fc.record({
    exports: fc.uniqueArray(fc.record({ name: aName, own: fc.constantFrom(...OWN), from }), {
      selector: ({ name }) => name,
      minLength: 2,
      maxLength: 4,
    }),
    imports: fc.array(fc.record({ kind: fc.constantFrom(...kinds), to, name: aName, isBold }), { maxLength: 4 }),
    awaits: oneOf(3, fc.nat(3)),
    throws: fc.nat(25).map((n) => n === 0),
    ticks: fc.boolean(),
  })
}

export const someModules: fc.Arbitrary<RandomModules> = fc
  .tuple(...Array.from({ length: COUNT }, (_, index) => aModuleOf(index)))
  .map((modules) => ({
    ...Object.fromEntries(modules.map((module, index) => [`m${index}.mjs`, sourceOf(module, index, modules)])),
    'data.json': '{ "list": [1, { "__proto__": 2 }] }',
  }))

function sourceOf(module: RandomModule, index: number, all: readonly RandomModule[]): string {
  const { exports, imports, awaits, throws, ticks } = module
  const known = imports.map((one, at) => importOf(one, at, all))
  return [
    ...known.map(({ statement }) => statement),
    ...exports.map((one) => exportOf(one, index, all)),
    `export const own${index} = ${index}`,
    `export const later${index} = () => import('./m${(index + 1) % COUNT}.mjs')`,
    `log('${index} begins')`,
    ...(ticks ? [`Promise.resolve().then(() => log('${index} ticks'))`] : []),
    ...known.map(({ use }) => use),
    ...(awaits === undefined ? [] : [`for (let turn = 0; turn < ${awaits}; turn++) await turn`]),
    ...(throws ? [`throw new RangeError('${index}')`] : []),
    `log('${index} ends')`,
  ].join('\n')
}

/** Mostly a name that the module exports by itself; sometimes one that only a star gives, or nothing. */
const nameIn = (to: number, asked: Name, all: readonly RandomModule[]): Name => {
  const { exports = [], imports = [] } = all[to] ?? {}
  const has = exports.some(({ name }) => name === asked)
  const mayHave = has || (asked !== 'default' && imports.some(({ kind }) => kind === 'star'))
  return mayHave ? asked : (exports[0]?.name ?? asked)
}

function importOf({ kind, to, name, isBold }: Import, at: number, all: readonly RandomModule[]) {
  const path = `'./m${to}.mjs'`
  const read = (value: string) =>
    isBold ? `log(tell(${value}))` : `try { log(tell(${value})) } catch (e) { log(e.name) }`
  switch (kind) {
    case 'named':
      return { statement: `import { ${nameIn(to, name, all)} as i${at} } from ${path}`, use: read(`i${at}`) }
    case 'namespace':
      return { statement: `import * as n${at} from ${path}`, use: read(`n${at}`) }
    case 'both': {
      const isThere = nameIn(to, 'default', all) === 'default'
      const statement = `import ${isThere ? `d${at}, ` : ''}* as n${at} from ${path}`
      return { statement, use: read(isThere ? `[d${at}, n${at}]` : `n${at}`) }
    }
    case 'side':
      return { statement: `import ${path}`, use: '' }
    case 'star':
      return { statement: `export * from ${path}`, use: '' }
    case 'starAs':
      return { statement: `export * as s${at} from ${path}`, use: '' }
    case 'json':
      return { statement: `import j${at} from './data.json' with { type: 'json' }`, use: read(`j${at}`) }
    default:
      return kind satisfies never
  }
}

function exportOf({ name, own, from }: Export, index: number, all: readonly RandomModule[]): string {
  if (from !== undefined) return `export { ${nameIn(from.to, from.name, all)} as ${name} } from './m${from.to}.mjs'`
  if (name === 'default') return defaultOf(own, index)
  switch (own) {
    case 'const':
      return `export const ${name} = '${name}${index}'`
    case 'let':
    case 'anonymous':
      return `export let ${name} = '${name}${index}'; export function set${name}${index}(value) { ${name} = value }`
    case 'function':
      return `export function ${name}() { return '${name}${index}' }`
    case 'class':
      return `export class ${name} { static at = ${index} }`
    default:
      return own satisfies never
  }
}

function defaultOf(own: Export['own'], index: number): string {
  switch (own) {
    case 'const':
      return `export default ['default', ${index}]`
    case 'let':
      return `let d = ${index}; export { d as default }; d += 1`
    case 'function':
      return `export default function () { return ${index} }`
    case 'class':
      return 'export default class {}'
    case 'anonymous':
      return `export default () => ${index}`
    default:
      return own satisfies never
  }
}

/**
 * Watches a graph through `load`, as source text, so that the same code does it wherever it runs: in which order modules
 * run, what they see of each other, what each exports, and how each import of each fails.
 */
export const WATCH = `async (load) => {
  const events = []
  // Object.keys reads the variables of a namespace, which may be too early.
  const keysOf = (value) => Reflect.ownKeys(value).filter((key) => typeof key === 'string')
  const tell = (value, depth = 2) => {
    if (typeof value === 'function') return 'function ' + value.name + ' ' + Object.getOwnPropertyNames(value).sort()
    if (typeof value !== 'object' || value === null || depth === 0) return typeof value + ' ' + String(typeof value === 'object' ? '' : value)
    return keysOf(value).map((key) => {
      try { return [key, tell(value[key], depth - 1)] } catch (e) { return [key, e.name] }
    })
  }
  globalThis.log = (event) => events.push(event)
  globalThis.tell = tell
  const failed = {}
  const settle = async () => { for (let turn = 0; turn < 30; turn++) await turn }
  const names = ['m0.mjs', 'm3.mjs', 'm0.mjs', 'm1.mjs', 'm2.mjs', 'm3.mjs', 'm4.mjs', 'm5.mjs']
  for (const name of names) {
    try {
      const exports = await load(name)
      await settle()
      for (const key of keysOf(exports).filter((key) => key.startsWith('set'))) exports[key](key)
      const later = keysOf(exports).filter((key) => key.startsWith('later'))
      for (const key of later) {
        try { events.push([key, tell(await exports[key]())]) } catch (e) { events.push([key, e.name]) }
      }
      events.push([name, tell(exports, 3), Object.prototype.toString.call(exports), Object.isExtensible(exports)])
    } catch (e) {
      // How soon an import tells of a failure, while others still run, is up to who loads the files.
      await settle()
      const isSame = name in failed && e.name !== 'SyntaxError' ? failed[name] === e : undefined
      failed[name] = e
      events.push([name, e.name, isSame])
    }
    await settle()
  }
  return events
}`

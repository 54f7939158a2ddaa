import { createRequire } from 'node:module'
import { Script } from 'node:vm'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { moduleRunnerTransformSync, type OxcError, type SourceMap, transformSync } from 'oxc-transform'
import { ProblemError } from '../../../api/index.ts'
import { type Position, positionAt, textOf } from '../../files/text.ts'
import { tooDeepAt } from './nesting/nesting.ts'
import { HEADER_LINES, type ModuleCode, sourceOf } from './program.ts'
import { splitImports } from './split-imports.ts'

/** A compiled module before its imports are resolved. */
export type CompiledModule = Pick<ModuleCode, 'code' | 'isAsync' | 'importsAnything'> & {
  readonly imports: readonly string[]
  /** Of the dynamic imports, those with a literal specifier. */
  readonly dynamicImports: readonly string[]
}

/**
 * Compiles TypeScript, JavaScript and JSON.
 * @throws ProblemError FileNotText, InvalidSyntax with the position in the source
 */
export function compileModule(path: string, content: Uint8Array): CompiledModule {
  const text = textOf(path, content)
  return path.endsWith('.json') ? compileJson(path, text) : transformModule(path, text)
}

export type Compile = (path: string, content: Uint8Array) => CompiledModule

/** Compiles each content object once: a directory that is read again gives the same one for what did not change. */
export function createCompiler(): Compile {
  const compiled = new WeakMap<Uint8Array, { readonly path: string; readonly module: CompiledModule }>()
  return (path, content) => {
    const known = compiled.get(content)
    if (known?.path === path) return known.module
    const module = compileModule(path, content)
    compiled.set(content, { path, module })
    return module
  }
}

/**
 * What the parser let through and V8 refuses, such as decorators, with its place in the source. An eval does not tell
 * where; a Script does.
 */
export function refusedByV8(
  module: Pick<ModuleCode, 'path' | 'code' | 'isAsync'>,
  content: Uint8Array = new Uint8Array(),
  error?: unknown,
): ProblemError {
  const { path } = module
  const message = error instanceof Error ? error.message : String(error)
  const [, line, caret] = /^refused:(\d+)\n.*\n( *)\^/.exec(stackOfSyntaxError(sourceOf('', module))) ?? []
  const generated = { line: Number(line) - HEADER_LINES, column: (caret ?? '').length + 1 }
  const text = textOf(path, content)
  return invalidSyntax(path, message, line === undefined ? undefined : locator(path, text)(generated), error)
}

function stackOfSyntaxError(source: string): string {
  try {
    new Script(source, { filename: 'refused' })
    return ''
  } catch (error) {
    return error instanceof Error ? String(error.stack) : ''
  }
}

function compileJson(path: string, text: string): CompiledModule {
  checkJson(path, text)
  const value = `JSON.parse(${JSON.stringify(text)})`
  const code = `const value = ${value}
Object.defineProperty(__vite_ssr_exports__, 'default', { enumerable: true, get() { return value } })
yield`
  return { code, isAsync: false, importsAnything: false, imports: [], dynamicImports: [] }
}

function checkJson(path: string, text: string): void {
  try {
    JSON.parse(text)
  } catch (error) {
    // JSON.parse does not tell where; what is no JSON is mostly no JavaScript either.
    const deep = tooDeepAt(text)
    const fault = deep === undefined ? transformSync('data.js', `(${text}\n)`).errors[0] : undefined
    const offset = fault === undefined ? (deep ?? text.length) : offsetOf(`(${text}`, fault) - 1
    throw invalidSyntax(path, error instanceof Error ? error.message : String(error), positionAt(text, offset), error)
  }
}

const TYPED = /\.m?ts$/

/** Decorators are those of TypeScript's experimentalDecorators: oxc has no others. They call two functions, which are imported. */
const TYPESCRIPT = { target: 'esnext', sourceType: 'module', decorator: { legacy: true } } as const

/** An import that comes last, so that its place in the output is where the author's own code begins. */
const BEGIN = 'midflight:begin'
const BEGIN_STATEMENT = new RegExp(`^const __vite_ssr_import_\\d+__ = await __vite_ssr_import__\\("${BEGIN}"\\);$`, 'm')

/**
 * Both passes return errors instead of throwing them; the second one leaves types in, so it only ever gets JavaScript.
 * The mark at the end would show in the message about a source that ends too soon, so the errors are those without it.
 */
function transform(path: string, text: string, sourcemap: boolean) {
  // A shebang is allowed on the first line of a module, but not within a function.
  const source = text.startsWith('#!') ? `//${text.slice(2)}` : text
  const script = TYPED.test(path) ? transformSync(path, source, { ...TYPESCRIPT, sourcemap }) : undefined
  if (script !== undefined) throwFirst(path, script.errors, source)
  const pass = (code: string) => moduleRunnerTransformSync(path.replace(TYPED, '.js'), code, { sourcemap })
  const javaScript = splitImports(script?.code ?? source)
  const marked = pass(`${javaScript}\nimport "${BEGIN}"`)
  const module = marked.errors.length === 0 ? marked : pass(javaScript)
  return { source, script, module }
}

/** @throws ProblemError InvalidSyntax */
function transformModule(path: string, text: string): CompiledModule {
  const deep = tooDeepAt(text)
  if (deep !== undefined) throw invalidSyntax(path, TOO_DEEP, positionAt(text, deep))
  const { source, script, module } = transform(path, text, false)
  throwFirst(path, module.errors, script?.code ?? source, script && (() => locator(path, text, 'script')))
  const begin = BEGIN_STATEMENT.exec(module.code)
  const head = linkedAtOnce(module.code.slice(0, begin?.index))
  const body = calledWithoutThis(module.code.slice(head.length + (begin?.[0].length ?? 0)), head)
  return {
    code: `${head}yield;${hoistedDefault(body)}`,
    isAsync: awaits(body),
    importsAnything: COMPUTED_IMPORT.test(body),
    imports: inOrder(module.deps, head),
    dynamicImports: module.dynamicDeps,
  }
}

const TOO_DEEP = 'nested or chained too deeply: split the expression, or move data into a .json file'

/** Imports are only asked for here, all of them before anything is evaluated: there is nothing to wait for. */
const linkedAtOnce = (head: string): string =>
  head.replace(/^(const __vite_ssr_import_\d+__ = )await (?=__vite_ssr_import__\()/gm, '$1      ')

/** As an imported function is called without `this`, so is one that is the tag of a template; not so one of a namespace. */
function calledWithoutThis(body: string, head: string): string {
  if (!TAG.test(body)) return body
  const named = new Set([...head.matchAll(NAMED_IMPORT)].map(([, index]) => index))
  return body.replace(new RegExp(TAG, 'gu'), (tag, index: string) => (named.has(index) ? `(0, ${tag})` : tag))
}

const TAG = /\b__vite_ssr_import_(\d+)__(?:\.[\p{ID_Continue}$\u200c\u200d]+|\["(?:[^"\\]|\\.)*"\])(?=`)/u
const NAMED_IMPORT = /^const __vite_ssr_import_(\d+)__ = .*\{ importedNames: /gm

/** `export default function () {}` is a declaration: importers in a cycle may call it before the module is evaluated. */
const hoistedDefault = (body: string): string =>
  body.replace(/^const __vite_ssr_export_default__ = (async )?function(\*?)(?=\()/m, (all, isAsync = '', star = '') =>
    `${isAsync}function${star} __vite_ssr_export_default__`.padEnd(all.length),
  )

/** A call whose first argument is more, or other, than a plain string. */
const COMPUTED_IMPORT = /__vite_ssr_dynamic_import__\((?!\s*"(?:[^"\\\n]|\\.)*"\s*[,)])/

/** oxc gives the imports in no order. */
function inOrder(imports: readonly string[], head: string): string[] {
  // Of several imports of one module the first counts.
  const places = new Map([...head.matchAll(STATIC_IMPORT)].reverse().map(({ 1: literal, index }) => [literal, index]))
  const placeOf = (specifier: string) => places.get(JSON.stringify(specifier)) ?? -1
  return imports.filter((specifier) => specifier !== BEGIN).sort((a, b) => placeOf(a) - placeOf(b))
}

const STATIC_IMPORT = /\b__vite_ssr_import__\(("(?:[^"\\]|\\.)*")/g

/** Whether code awaits outside of functions: a static block may hold whatever a module may, but for that. */
function awaits(body: string): boolean {
  if (!/\bawait\b/.test(body)) return false
  try {
    // biome-ignore lint/security/noGlobalEval: what it gives is a function, which is never called
    const parse = eval
    parse(`() => { class _ { static {${body}\n} } }`)
    return false
  } catch {
    return true
  }
}

/**
 * Whether two outputs of `compileModule` are the same program, comments and layout aside. What is printed from the syntax
 * tree without either is compared, so nothing within a text or a regular expression is taken for a comment.
 */
export function isSameCode(before: string, after: string): boolean {
  if (before === after) return true
  // Both are printed from a syntax tree already; without comments, a difference is one of code.
  if (!COMMENT.test(before) && !COMMENT.test(after)) return false
  const [one, other] = [printed(before), printed(after)]
  return one !== undefined && one === other
}

/** What every comment has, and some texts. */
const COMMENT = /\/[/*]/

const PRINT = { compress: false, mangle: false, codegen: { removeWhitespace: true, legalComments: 'none' } } as const

/** Loaded when code with comments has changed for the first time: most processes never need it, and it takes memory. */
const load = createRequire(import.meta.url)

function printed(code: string): string | undefined {
  const { minifySync } = load('oxc-minify') as typeof import('oxc-minify')
  const { code: text, errors } = minifySync('module.js', `(async function* () { "use strict";\n${code}\n})`, PRINT)
  return errors.length === 0 ? text : undefined
}

/** Finds for a place in generated code the place in the source. */
export type Locate = (generated: Position) => Position | undefined

/**
 * Maps places in the output of `transformModule` (or of its first pass alone, `script`) back to the source. Transforms
 * once more, with maps: they are only worth their cost when something has gone wrong.
 */
export function locator(path: string, text: string, from: 'module' | 'script' = 'module'): Locate {
  const { script, module } = transform(path, text, true)
  const maps = (from === 'module' ? [module.map, script?.map] : [script?.map]).filter((map) => map !== undefined)
  const traced = maps.map((map) => new TraceMap(encoded(map)))
  return (generated) =>
    traced.reduce<Position | undefined>(
      (place, map) => (place === undefined ? undefined : trace(map, place)),
      generated,
    )
}

const encoded = ({ mappings, names, sources }: SourceMap) => ({ version: 3 as const, mappings, names, sources })

function trace(map: TraceMap, { line, column }: Position): Position | undefined {
  const found = originalPositionFor(map, { line, column: column - 1 })
  return found.line === null ? undefined : { line: found.line, column: found.column + 1 }
}

function throwFirst(path: string, errors: readonly OxcError[], parsed: string, locate?: () => Locate): void {
  const error = errors[0]
  if (error === undefined) return
  const position = positionAt(parsed, offsetOf(parsed, error))
  const hint = error.helpMessage === null ? '' : ` (${error.helpMessage})`
  throw invalidSyntax(path, `${error.message}${hint}`, locate === undefined ? position : locate()(position))
}

/**
 * oxc counts bytes of UTF-8. Of several labels the last is the place to change, but for the one that shows which bracket
 * is not closed.
 */
const offsetOf = (parsed: string, { labels }: OxcError): number =>
  Buffer.from(parsed)
    .subarray(0, labels.findLast(({ message }) => message !== 'Opened here')?.start ?? 0)
    .toString().length

const invalidSyntax = (path: string, message: string, position?: Position, cause?: unknown): ProblemError =>
  new ProblemError({ reason: 'InvalidSyntax', message: `${path}: ${message}`, file: path, ...position }, { cause })

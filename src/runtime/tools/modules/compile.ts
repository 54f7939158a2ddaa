import { Script } from 'node:vm'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { moduleRunnerTransformSync, type OxcError, type SourceMap, transformSync } from 'oxc-transform'
import { ProblemError } from '../../../api/index.ts'
import { type Position, positionAt, textOf } from '../../files/text.ts'
import { HEADER_LINES, type ModuleCode, sourceOf } from './program.ts'

/** A compiled module before its imports are resolved. */
export type CompiledModule = {
  /** The body of a function in which imports and exports are calls. */
  readonly code: string
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

/**
 * What the parser let through and V8 refuses, such as decorators, with its place in the source. An eval does not tell
 * where; a Script does.
 */
export function refusedByV8(
  module: Pick<ModuleCode, 'path' | 'code'>,
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
  const code = `Object.defineProperty(__vite_ssr_exports__, 'default', { value: ${value}, enumerable: true })`
  return { code, imports: [], dynamicImports: [] }
}

function checkJson(path: string, text: string): void {
  try {
    JSON.parse(text)
  } catch (error) {
    // JSON.parse does not tell where; what is no JSON is mostly no JavaScript either.
    const fault = transformSync('data.js', `(${text}\n)`).errors[0]
    const offset = fault === undefined ? text.length : offsetOf(`(${text}`, fault) - 1
    throw invalidSyntax(path, error instanceof Error ? error.message : String(error), positionAt(text, offset), error)
  }
}

const TYPED = /\.m?ts$/

/** Both passes return errors instead of throwing them; the second one leaves types in, so it only ever gets JavaScript. */
function transform(path: string, text: string, sourcemap: boolean) {
  // A shebang is allowed on the first line of a module, but not within a function.
  const source = text.startsWith('#!') ? `//${text.slice(2)}` : text
  const script = TYPED.test(path) ? transformSync(path, source, { sourcemap, target: 'esnext' }) : undefined
  if (script !== undefined) throwFirst(path, script.errors, source)
  const module = moduleRunnerTransformSync(path.replace(TYPED, '.js'), script?.code ?? source, { sourcemap })
  return { source, script, module }
}

/** @throws ProblemError InvalidSyntax */
function transformModule(path: string, text: string): CompiledModule {
  const { source, script, module } = transform(path, text, false)
  throwFirst(path, module.errors, script?.code ?? source, script && (() => locator(path, text, 'script')))
  return { code: module.code, imports: module.deps, dynamicImports: module.dynamicDeps }
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

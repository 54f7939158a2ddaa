import { posix } from 'node:path'
import { type Problem, ProblemError } from '../../../../api/reason.ts'
import { type ModuleCode, moduleUrl, sourceOf } from '../program.ts'
import { createExports } from './exports.ts'
import { type Imported, type Module, type ModuleBody, type ModuleFunction, staticClosureOf } from './module.ts'

/** An import that does not hold what it should; who knows the source can tell the line. */
export class ImportFailure extends ProblemError {
  readonly from: string
  readonly specifier: string

  constructor(problem: Problem, { from, specifier }: { from: string; specifier: string }, cause?: unknown) {
    super(problem, { cause })
    this.from = from
    this.specifier = specifier
  }
}

/** V8 refuses the code of a module, which the parser let through; who knows the source can tell the line. */
export class CodeRefused extends Error {
  readonly module: ModuleCode

  constructor(module: ModuleCode, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.module = module
  }
}

/** Code that comes by eval is collected with its last user; modules of Node and of node:vm never are. */
export function functionOf(bundle: string, module: ModuleCode): ModuleFunction {
  try {
    // biome-ignore lint/security/noGlobalEval: evaluating tool code is this module's purpose
    const evaluate = eval
    return evaluate(sourceOf(bundle, module)) as ModuleFunction
  } catch (error) {
    throw new CodeRefused(module, error)
  }
}

type Asked = {
  readonly module: Module
  readonly specifier: string
  readonly given: Imported
  readonly names: readonly string[]
}

/**
 * Connects a module, and all that is evaluated with it, to what they import. Runs nothing of the author's. All of them
 * are linked, or none.
 * @throws ImportFailure for an import of a name that is not exported
 */
export function linkModule(module: Module): void {
  const group = [...staticClosureOf(module)].filter(({ status }) => status === 'new')
  try {
    const asked = group.flatMap(instantiate)
    const exports = createExports(group)
    for (const member of group) exports.define(member)
    for (const { module: importer, specifier, given, names } of asked) {
      const missing = names.find((name) => !exports.has(given, name))
      if (missing !== undefined) throw new MissingExport({ from: importer.path, specifier }, missing)
    }
  } catch (error) {
    for (const member of group) member.renew()
    throw error
  }
}

/** As an ES module, it fails before anything runs, and by the same name. */
class MissingExport extends ImportFailure {
  override readonly name = 'SyntaxError'

  constructor(asked: { from: string; specifier: string }, missing: string) {
    const message = `"${asked.specifier}" has no export named "${missing}", or more than one`
    super({ reason: 'ImportNotFound', message, file: asked.from }, asked)
  }
}

/** Runs a module up to the author's part, which declares its exports and tells its imports. */
function instantiate(module: Module): Asked[] {
  const { prepared, code } = module
  if (prepared === undefined) throw new Error(`${module.path} is not prepared`)
  const asked: Asked[] = []
  const importStatic = (specifier: string, names: readonly string[]) => {
    const given = importedBy(module, specifier)
    module.imported.push(given)
    asked.push({ module, specifier, given, names })
    return given.type === 'file' ? given.module.exports : given.exports
  }
  const end = Promise.withResolvers<void>()
  const body = prepared.run.call(
    undefined,
    module.own,
    (specifier, { importedNames = [] } = {}) => importStatic(specifier, importedNames),
    async (specifier) => prepared.importDynamic(String(specifier)),
    metaOf(prepared.bundle, module.path),
    () => module.stars.push(...module.imported.slice(-1)),
    end.resolve,
  )
  const begun = body.next()
  module.body = bodyOf(body, end.promise, begun)
  module.status = 'linked'
  return code.staticImports.length === 0 ? [] : asked
}

function importedBy({ path, code, targets, packages }: Module, specifier: string): Imported {
  const target = code.imports[specifier]
  const module = target?.type === 'file' ? targets.get(target.path) : undefined
  if (module !== undefined) return { type: 'file', module }
  const exports = target?.type === 'package' ? packages.get(target.specifier) : undefined
  if (exports === undefined) throw new Error(`${path}: import "${specifier}" was not prepared`)
  return { type: 'package', exports }
}

function bodyOf(
  body: Generator<undefined> | AsyncGenerator<undefined>,
  end: Promise<void>,
  begun: unknown,
): ModuleBody {
  if (!(Symbol.asyncIterator in body)) {
    return {
      ready: undefined,
      run() {
        body.next()
      },
    }
  }
  return {
    ready: Promise.resolve(begun),
    run(ended, failed) {
      let isOver = false
      const over = () => {
        if (isOver) return
        isOver = true
        ended()
      }
      end.then(over, failed)
      body.next().then(over, failed)
    },
  }
}

function metaOf(bundle: string, path: string): object {
  const filename = `${bundle}/${path}`
  const meta = { url: moduleUrl(bundle, path), filename, dirname: posix.dirname(filename), main: false }
  return Object.assign(Object.create(null), meta)
}

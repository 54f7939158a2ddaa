import { ProblemError } from '../../../../api/reason.ts'
import { type Authored, readAuthored } from '../../author/authored.ts'
import { MIDFLIGHT, midflightModule } from '../../author/module.ts'
import type { ParameterReader } from '../../author/parameters.ts'
import { runSelfTests } from '../../author/self-test.ts'
import type { BundleStates } from '../../author/state.ts'
import { CodeRefused, ModuleTable, type Surroundings } from '../../modules/evaluate.ts'
import { importPackage } from '../../modules/packages.ts'
import type { Program } from '../../modules/program.ts'
import { messageOf } from '../../modules/thrown.ts'
import type { ToolLogLine } from '../../port.ts'
import type { LoadMessage, ProgramData } from '../channel/messages.ts'

export type LoadOptions = Pick<Surroundings, 'linkDynamic'> & {
  readonly parametersOf: ParameterReader
  readonly evaluating: (file: string) => void
  /** Told when the self-test of a tool begins. */
  readonly checking: (tool: string, file: string) => void
  readonly states: BundleStates
  readonly log: (line: ToolLogLine) => void
}

export type LoadedCode = {
  readonly loaded: Authored
  /** Modules in the order of their evaluation. */
  readonly reloaded: readonly string[]
  /** What the self-tests took, in milliseconds. */
  readonly checkMs: number
}

/**
 * Evaluates a program, reads what its files export and runs the self-tests.
 * @throws ProblemError, CodeRefused; positions are those of the evaluated code
 */
export async function loadCode(asked: LoadMessage, options: LoadOptions): Promise<LoadedCode> {
  const { program, timeoutMs, context } = asked
  const { linkDynamic, parametersOf, evaluating, checking, states, log } = options
  const midflight = midflightModule(states)
  const table = new ModuleTable(programOf(program), {
    importPackage: async (from, specifier) => (specifier === MIDFLIGHT ? midflight : importPackage(from, specifier)),
    linkDynamic,
  })
  const exports = await inTime(evaluateAll(table, program.entries, evaluating), table, timeoutMs)
  const trace = () => undefined
  const loaded = readAuthored(exports, { bundle: program.bundle, parametersOf, trace })
  const evaluated = performance.now()
  if (asked.check)
    await runSelfTests(loaded.tools.values(), { context: { secrets: context.secrets ?? {}, log }, trace, checking })
  const reloaded = program.modules.map(({ path }) => path)
  return { loaded, reloaded, checkMs: performance.now() - evaluated }
}

/** Specifiers are anything, also what every object inherits. */
const withoutPrototype = <T extends object>(record: T): T => Object.assign(Object.create(null), record)

function programOf({ modules, ...program }: ProgramData): Program {
  const own = modules.map((module) => ({
    ...module,
    imports: withoutPrototype(module.imports),
    broken: withoutPrototype(module.broken),
  }))
  return { ...program, modules: new Map(own.map((module) => [module.path, module])) }
}

async function evaluateAll(
  table: ModuleTable,
  entries: readonly string[],
  evaluating: LoadOptions['evaluating'],
): Promise<Map<string, object>> {
  const loaded = new Map<string, object>()
  let entry: string | undefined
  try {
    await table.prepare()
    for (entry of entries) {
      evaluating(entry)
      loaded.set(entry, await table.evaluate(entry))
    }
    return loaded
  } catch (error) {
    if (error instanceof ProblemError || error instanceof CodeRefused) throw error
    const file = table.evaluating ?? entry
    const message = `${file} threw while it was loaded: ${messageOf(error)}`
    throw new ProblemError({ reason: 'ToolLoadFailed', message, ...(file !== undefined && { file }) }, { cause: error })
  }
}

/** What never yields is for the runtime to notice. */
async function inTime<T>(work: Promise<T>, table: ModuleTable, timeoutMs: number): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const timer = setTimeout(() => {
    const { evaluating: file } = table
    const message = `${file} did not finish loading in ${timeoutMs} ms: a top-level await never ends`
    reject(new ProblemError({ reason: 'ToolLoadTimeout', message, ...(file !== undefined && { file }) }))
  }, timeoutMs)
  work.then(resolve, reject)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

import { ProblemError } from '../../../api/reason.ts'
import { roleOf } from '../../../api/roles.ts'
import type { Trace } from '../modules/thrown.ts'
import type { ToolDescription } from '../port.ts'
import { defaultOf, invalid, readGuarded, type Wanted } from './declared.ts'
import type { ToolContext } from './midflight.ts'
import type { ParameterReader, ToolParameters } from './parameters.ts'

/** A tool of a loaded file. */
export type Tool = {
  readonly description: ToolDescription
  readonly parameters: ToolParameters
  readonly execute: (args: unknown, context: ToolContext) => unknown
  readonly selfTest?: (context: ToolContext) => unknown
}

const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/
export const TOOL_FIELDS: ReadonlySet<string> = new Set([
  'name',
  'description',
  'parameters',
  'idempotent',
  'execute',
  'selfTest',
])
const WANTED: Wanted = {
  reason: 'InvalidTool',
  shape: 'export default { description, parameters, execute }',
  otherwise: 'move a file that is no tool out of tools/',
}

export type ReadOptions = {
  readonly bundle: string
  readonly parametersOf: ParameterReader
  readonly trace: Trace
}

/**
 * The tools that evaluated tool files export, by name.
 * @throws ProblemError InvalidTool that names file, field and fix; DuplicateTool
 */
export function readTools(loaded: ReadonlyMap<string, object>, options: ReadOptions): Map<string, Tool> {
  const tools = new Map<string, Tool>()
  for (const [file, exports] of loaded) {
    const tool = readGuarded(WANTED, file, options.trace, () => readTool(file, exports, options))
    const { name } = tool.description
    const other = tools.get(name)?.description.file
    if (other !== undefined)
      throw new ProblemError({
        reason: 'DuplicateTool',
        message: `${other} and ${file} are both the tool "${name}": rename one, or set its name`,
        file,
      })
    tools.set(name, tool)
  }
  return tools
}

function readTool(file: string, exports: object, { bundle, parametersOf }: ReadOptions): Tool {
  const declared = defaultOf(WANTED, file, exports)
  const refuse = (message: string): never => {
    throw invalid(WANTED, file, message)
  }
  const name: unknown = Reflect.get(declared, 'name') ?? roleOf(file).name
  const description: unknown = Reflect.get(declared, 'description')
  const execute: unknown = Reflect.get(declared, 'execute')
  const selfTest: unknown = Reflect.get(declared, 'selfTest') ?? undefined
  const idempotent: unknown = Reflect.get(declared, 'idempotent') ?? false
  if (typeof name !== 'string' || !TOOL_NAME.test(name))
    return refuse(`the tool name ${JSON.stringify(name)} must have 1 to 64 letters, digits, "_" or "-": set name`)
  if (typeof description !== 'string' || description.trim() === '')
    return refuse('description must be a text that tells the model what the tool does')
  if (typeof execute !== 'function') return refuse('execute must be a function: execute(args, { signal })')
  if (selfTest !== undefined && typeof selfTest !== 'function')
    return refuse('selfTest must be a function: selfTest({ signal })')
  if (typeof idempotent !== 'boolean') return refuse('idempotent must be true or false')
  const parameters = readParameters(file, declared, parametersOf)
  const head = { name, bundle, file, description, parameters: parameters.schema }
  return {
    description: idempotent ? { ...head, idempotent } : head,
    parameters,
    execute: (args, context) => Reflect.apply(execute, declared, [args, context]),
    ...(selfTest === undefined ? {} : { selfTest: (context) => Reflect.apply(selfTest, declared, [context]) }),
  }
}

function readParameters(file: string, declared: object, parametersOf: ParameterReader): ToolParameters {
  try {
    return parametersOf(Reflect.get(declared, 'parameters'))
  } catch (error) {
    throw invalid(WANTED, file, error instanceof Error ? error.message : String(error))
  }
}

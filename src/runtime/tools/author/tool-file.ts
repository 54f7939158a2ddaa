import { ProblemError, roleOf } from '../../../api/index.ts'
import { messageOf, type Trace } from '../modules/thrown.ts'
import type { ToolCallContext, ToolDescription } from '../port.ts'
import type { ParameterReader, ToolParameters } from './parameters.ts'

/** A tool of a loaded file. */
export type Tool = {
  readonly description: ToolDescription
  readonly parameters: ToolParameters
  readonly execute: (args: unknown, context: ToolCallContext) => unknown
}

const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/
const FIELDS: ReadonlySet<string> = new Set(['name', 'description', 'parameters', 'execute'])
const SHAPE = 'export default { description, parameters, execute }'

type ReadOptions = { readonly bundle: string; readonly parametersOf: ParameterReader; readonly trace: Trace }

/**
 * The tools that evaluated tool files export, by name.
 * @throws ProblemError InvalidTool that names file, field and fix; DuplicateTool
 */
export function readTools(loaded: ReadonlyMap<string, object>, options: ReadOptions): Map<string, Tool> {
  const tools = new Map<string, Tool>()
  for (const [file, exports] of loaded) {
    const tool = readGuarded(file, exports, options)
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

/** Getters and proxies of the file's own may throw anything while it is read. */
function readGuarded(file: string, exports: object, options: ReadOptions): Tool {
  try {
    return readTool(file, exports, options)
  } catch (error) {
    if (error instanceof ProblemError) throw error
    const message = `${file}: the default export cannot be read: ${messageOf(error)}`
    throw new ProblemError({ reason: 'InvalidTool', message, file, ...options.trace(error) }, { cause: error })
  }
}

function readTool(file: string, exports: object, { bundle, parametersOf }: ReadOptions): Tool {
  const declared = defaultOf(file, exports)
  const name: unknown = Reflect.get(declared, 'name') ?? roleOf(file).name
  const description: unknown = Reflect.get(declared, 'description')
  const execute: unknown = Reflect.get(declared, 'execute')
  if (typeof name !== 'string' || !TOOL_NAME.test(name))
    throw invalidTool(
      file,
      `the tool name ${JSON.stringify(name)} must have 1 to 64 letters, digits, "_" or "-": set name`,
    )
  if (typeof description !== 'string' || description.trim() === '')
    throw invalidTool(file, 'description must be a text that tells the model what the tool does')
  if (typeof execute !== 'function') throw invalidTool(file, 'execute must be a function: execute(args, { signal })')
  const parameters = readParameters(file, declared, parametersOf)
  return {
    description: { name, bundle, file, description, parameters: parameters.schema },
    parameters,
    execute: (args, context) => Reflect.apply(execute, declared, [args, context]),
  }
}

/** Fields that mean nothing here, perhaps misspelt. */
export function unknownFields(file: string, exports: object): string[] {
  return Object.keys(defaultOf(file, exports))
    .filter((field) => !FIELDS.has(field))
    .map((field) => `${file}: unknown field "${field}" of the tool; known are ${[...FIELDS].join(', ')}`)
}

function defaultOf(file: string, exports: object): object {
  const declared: unknown = Reflect.get(exports, 'default')
  if (declared === undefined)
    throw invalidTool(
      file,
      `the file has no default export: write ${SHAPE}, or move a file that is no tool out of tools/`,
    )
  if (typeof declared !== 'object' || declared === null)
    throw invalidTool(file, `the default export is no object: write ${SHAPE}`)
  return declared
}

function readParameters(file: string, declared: object, parametersOf: ParameterReader): ToolParameters {
  try {
    return parametersOf(Reflect.get(declared, 'parameters'))
  } catch (error) {
    throw invalidTool(file, error instanceof Error ? error.message : String(error))
  }
}

const invalidTool = (file: string, message: string): ProblemError =>
  new ProblemError({ reason: 'InvalidTool', message: `${file}: ${message}`, file })

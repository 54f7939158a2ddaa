import { createRequire } from 'node:module'
import type { JSONObject, JSONSchema7 } from '@ai-sdk/provider'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { z } from 'zod'
import { formatPath, ProblemError, problemOf } from '../../../api/reason.ts'
import { plainJson } from './result.ts'

/** What a tool takes: as JSON Schema for models, and as a check that also fills in defaults. */
export type ToolParameters = {
  readonly schema: JSONSchema7
  /** @throws ProblemError InvalidArguments with the path of the argument */
  parse(tool: string, args: JSONObject): Promise<unknown>
}

/**
 * Reads the `parameters` of a tool file: JSON Schema of an object, a zod 4 schema, or nothing for a tool that takes no
 * arguments.
 * @throws Error that says what to change; the caller knows the file
 */
export type ParameterReader = (declared: unknown) => ToolParameters

/** Compiled checks of schemas that are kept. */
const MAX_RECENT = 512
const NONE: JSONSchema7 = { type: 'object', properties: {}, additionalProperties: false }
// Formats are for the model to read; unknown keywords are too.
const OPTIONS = { strict: false, useDefaults: true, validateFormats: false, logger: false } as const

/** A process with tool code is small without what no tool of it needs. */
const load = createRequire(import.meta.url)
const loadZod = () => load('zod/v4/core') as typeof z.core
const loadAjv2020 = () => (load('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')).Ajv2020

export function createParameterReader(zod: () => typeof z.core = loadZod): ParameterReader {
  const compiled = createCompiler()
  return (declared) => {
    if (declared === undefined) return ofJsonSchema(NONE, compiled(NONE))
    if (typeof declared !== 'object' || declared === null || Array.isArray(declared))
      throw new TypeError('parameters must be a JSON Schema object or a zod schema')
    if (isZod(declared)) return ofZod(declared, zod())
    if ('_def' in declared) throw new TypeError("parameters is a schema of zod 3: import { z } from 'zod' of version 4")
    const schema = plainSchema(declared)
    return ofJsonSchema(schema, compiled(schema))
  }
}

const isZod = (value: object): value is z.ZodType => '_zod' in value

function plainSchema(declared: object): JSONSchema7 {
  try {
    return checkObject(plainJson('parameters', declared) as JSONSchema7)
  } catch (error) {
    throw new TypeError(problemOf(error, 'InvalidTool').message)
  }
}

function checkObject(schema: JSONSchema7): JSONSchema7 {
  if (schema.type !== 'object') throw new TypeError('parameters must describe an object: type must be "object"')
  if ('$async' in schema) throw new TypeError('parameters must not have $async')
  return schema
}

function ofZod(declared: z.ZodType, zod: typeof z.core): ToolParameters {
  const { $schema: _, ...schema } = zod.toJSONSchema(declared, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
  })
  return {
    schema: checkObject(schema as JSONSchema7),
    async parse(tool, args) {
      const result = await zod.safeParseAsync(declared, args)
      if (result.success) return result.data
      const issue = result.error.issues[0]
      throw invalidArguments(tool, issue?.path ?? [], issue?.message ?? 'is not valid')
    },
  }
}

function ofJsonSchema(schema: JSONSchema7, validate: ValidateFunction): ToolParameters {
  return {
    schema,
    async parse(tool, args) {
      const copy = structuredClone(args)
      if (validate(copy)) return copy
      const error = validate.errors?.[0]
      throw invalidArguments(tool, error === undefined ? [] : pathOf(error), error?.message ?? 'is not valid')
    },
  }
}

/** Ajv, of the draft of JSON Schema that it checks. */
type AjvClass = new (options: ConstructorParameters<typeof Ajv>[0]) => Ajv

type Compile = (schema: JSONSchema7) => ValidateFunction

/** Compiling is most of the cost of a load, and most schemas are those of the version before. */
function createCompiler(): Compile {
  const checkers = new Map<AjvClass, Ajv>()
  const checkerOf = (Class: AjvClass): Ajv => {
    const checker = checkers.get(Class) ?? new Class(OPTIONS)
    checkers.set(Class, checker)
    return checker
  }
  const recent = new Map<string, ValidateFunction>()
  return (schema) => {
    const key = JSON.stringify(schema)
    const validate =
      recent.get(key) ?? compile(schema, schema.$schema?.includes('/20') ? loadAjv2020() : Ajv, checkerOf)
    recent.delete(key)
    recent.set(key, validate)
    const oldest = recent.size > MAX_RECENT ? recent.keys().next().value : undefined
    if (oldest !== undefined) recent.delete(oldest)
    return validate
  }
}

/** An Ajv keeps all that it ever compiled: one checks schemas, and each schema is compiled by one of its own. */
function compile(schema: JSONSchema7, Compiler: AjvClass, checkerOf: (Class: AjvClass) => Ajv): ValidateFunction {
  const checker = checkerOf(Compiler)
  try {
    if (!checker.validateSchema(schema)) throw new TypeError(checker.errorsText(checker.errors, { dataVar: 'schema' }))
    return new Compiler({ ...OPTIONS, meta: false, validateSchema: false }).compile(schema)
  } catch (error) {
    throw new TypeError(`parameters is not a valid JSON Schema: ${error instanceof Error ? error.message : error}`)
  }
}

function pathOf({ instancePath, params }: ErrorObject): PropertyKey[] {
  const path = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
  const field: unknown = params.missingProperty ?? params.additionalProperty
  return typeof field === 'string' ? [...path, field] : path
}

function invalidArguments(tool: string, path: readonly PropertyKey[], message: string): ProblemError {
  const shown = formatPath(path)
  return new ProblemError({
    reason: 'InvalidArguments',
    message: `arguments of ${tool}: ${shown === '' ? '' : `${shown} `}${message}`,
    ...(shown === '' ? {} : { path: shown }),
  })
}

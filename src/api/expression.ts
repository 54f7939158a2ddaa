import { Environment, Optional } from '@marcbachmann/cel-js'
import { type Problem, ProblemError } from './reason.ts'

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/** What an expression may name: the workflow's input, and the steps that the step needs. */
export type ExpressionScope = {
  readonly input: unknown
  readonly steps: Readonly<Record<string, { readonly output: unknown; readonly status: string }>>
}

/** Longest expression, in characters. */
export const MAX_EXPRESSION = 1024

const cel = new Environment({
  unlistedVariablesAreDyn: false,
  enableOptionalTypes: true,
  homogeneousAggregateLiterals: false,
})
  .registerVariable('input', 'dyn')
  .registerVariable('steps', 'map')

/**
 * What is wrong with a CEL expression over `input` and `steps`, as InvalidExpression, without evaluating it.
 * @param wanted `bool` where the expression decides something: a type that is known and another is refused
 */
export function checkExpression(text: string, wanted: 'bool' | 'any' = 'any'): Problem | undefined {
  if (text.length > MAX_EXPRESSION) return invalid(text, `is longer than ${MAX_EXPRESSION} characters`)
  const { valid, type, error } = cel.check(text)
  if (!valid) return invalid(text, explain(text, error))
  if (wanted === 'bool' && type !== 'bool' && type !== 'dyn') return invalid(text, `gives ${type}, not true or false`)
  return undefined
}

/**
 * Evaluates a CEL expression. Whole numbers of the scope are integers, so that `input.n / 2` works; results are JSON.
 * @throws ProblemError InvalidExpression
 */
export function evaluate(text: string, scope: ExpressionScope): Json {
  const problem = checkExpression(text)
  if (problem !== undefined) throw new ProblemError(problem)
  try {
    return fromCel(cel.evaluate(text, { input: toCel(scope.input), steps: toCel(scope.steps) }))
  } catch (error) {
    throw new ProblemError(invalid(text, explain(text, error)), { cause: error })
  }
}

const invalid = (text: string, why: string): Problem => ({
  reason: 'InvalidExpression',
  message: `expression "${text.length > 80 ? `${text.slice(0, 80)}…` : text}" ${why}`,
})

/** The first line of a CEL error, with a word on step names that read as a subtraction. */
function explain(text: string, error: unknown): string {
  const hyphenated = /\bsteps\.([a-z0-9]+(?:-[a-z0-9]+)+)/.exec(text)?.[1]
  const hint = hyphenated === undefined ? '' : `; a step name with "-" is written steps["${hyphenated}"]`
  const summary = (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? ''
  return `is not valid: ${summary === '' ? 'unknown error' : summary}${hint}`
}

/** JSON as CEL values: whole numbers become integers. Only own fields are taken over. */
function toCel(value: unknown): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value
  if (Array.isArray(value)) return value.map(toCel)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, toCel(field)]))
}

/** CEL values as JSON; an integer beyond 2^53 and every other type of CEL's own becomes text. */
function fromCel(value: unknown): Json {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'bigint':
      return integer(value)
    case 'number':
      if (!Number.isFinite(value)) throw new Error(`the result ${value} is not JSON`)
      return value
    case 'object':
      return value === null ? null : fromCelObject(value)
    default:
      return null
  }
}

const integer = (value: bigint): Json =>
  BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : String(value)

/** CEL's unsigned integers and durations are told by their primitive value: an integer, milliseconds. */
function fromCelObject(value: object): Json {
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Optional) return value.hasValue() ? fromCel(value.value()) : null
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (Array.isArray(value)) return value.map(fromCel)
  const primitive: unknown = value.valueOf()
  if (typeof primitive === 'bigint') return integer(primitive)
  if (typeof primitive === 'number') return `${primitive / 1000}s`
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return Object.fromEntries(entries.map(([key, field]) => [String(key), fromCel(field)]))
}

type Segment = { readonly type: 'text'; readonly text: string } | { readonly type: 'expression'; readonly text: string }

/** The first bad expression in the strings of a value, at any depth; `path` says where in it. */
export function checkTemplate(value: unknown, path = ''): Problem | undefined {
  if (typeof value === 'string') return checkText(value, path)
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, field] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    const problem = checkTemplate(field, at)
    if (problem !== undefined) return problem
  }
  return undefined
}

function checkText(text: string, path: string): Problem | undefined {
  for (const segment of segmentsOf(text)) {
    const problem = segment.type === 'expression' ? checkExpression(segment.text) : undefined
    if (problem !== undefined) return path === '' ? problem : { ...problem, path }
  }
  return undefined
}

/**
 * Fills in the expressions in the strings of a value, at any depth; keys stay as they are. A string that is one
 * expression takes on its value whatever the type; in any other string null is nothing, and what is not text is JSON.
 * What an expression gives is never itself filled in.
 * @throws ProblemError InvalidExpression
 */
export function fillTemplate(value: Json, scope: ExpressionScope): Json {
  if (typeof value === 'string') return fillText(value, scope)
  if (Array.isArray(value)) return value.map((entry) => fillTemplate(entry, scope))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, fillTemplate(field, scope)]))
}

function fillText(text: string, scope: ExpressionScope): Json {
  const segments = segmentsOf(text)
  const [only, ...others] = segments
  if (only?.type === 'expression' && others.length === 0) return evaluate(only.text, scope)
  return segments
    .map((segment) => (segment.type === 'text' ? segment.text : textOf(evaluate(segment.text, scope))))
    .join('')
}

function textOf(value: Json): string {
  if (value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Text and the expressions between `{{` and `}}`. A `{{` that nothing closes is text. */
function segmentsOf(text: string): Segment[] {
  const segments: Segment[] = []
  let at = 0
  for (let open = text.indexOf('{{'); open !== -1; open = text.indexOf('{{', at)) {
    const close = closeOf(text, open + 2)
    if (close === undefined) break
    if (open > at) segments.push({ type: 'text', text: text.slice(at, open) })
    segments.push({ type: 'expression', text: text.slice(open + 2, close).trim() })
    at = close + 2
  }
  if (at < text.length) segments.push({ type: 'text', text: text.slice(at) })
  return segments
}

/** Where an expression ends: at the first `}}` that leaves CEL that parses, as maps and strings may hold `}}` too. */
function closeOf(text: string, from: number): number | undefined {
  const first = text.indexOf('}}', from)
  if (first === -1) return undefined
  for (let close = first; close !== -1 && close - from <= MAX_EXPRESSION; close = text.indexOf('}}', close + 1)) {
    if (parses(text.slice(from, close))) return close
  }
  return first
}

function parses(text: string): boolean {
  try {
    cel.parse(text)
    return true
  } catch {
    return false
  }
}

/** Why a text is no regular expression; undefined when it is one. */
export function regExpFault(source: string): string | undefined {
  try {
    new RegExp(source)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

import { isDeepStrictEqual } from 'node:util'
import type { z } from 'zod'
import { problemOfIssues } from '../../api/index.ts'

/** A check failed: what was expected, and what came. */
export class Unmet extends Error {
  override readonly name = 'Unmet'
}

/** Longest quote of what came, in characters. */
const MAX_QUOTE = 300

const quote = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= MAX_QUOTE ? text : `${text.slice(0, MAX_QUOTE)}…`
}

/** @throws Unmet when the two are not the same JSON */
export function expectEqual(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  throw new Unmet(`${what}: expected ${quote(expected)}, got ${quote(actual)}`)
}

/** @throws Unmet */
export function expectThat(what: string, holds: boolean, got: unknown): void {
  if (!holds) throw new Unmet(`${what}; got ${quote(got)}`)
}

/** @throws Unmet naming the first field that is not as the protocol says */
export function expectShape<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new Unmet(`${what}: expected the fields of the protocol, but ${problemOfIssues(parsed.error).message}`)
}

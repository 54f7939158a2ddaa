import { z } from 'zod'
import { type Problem, REASONS, type Reason } from '../reason.ts'

/** API group and version of all kinds. */
export const API_VERSION = 'midflight.dev/v1alpha1'

/** What may stand in a list of a spec, unless its schema says less. Keeps CEL rules within the API server's cost budget. */
export const MAX_LIST = 64

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/
const TOOL_PATTERN = /^([a-z0-9.-]{1,63}\/)?[a-zA-Z0-9_*-]{1,64}$/
const TOOL_REFERENCE = /^([a-z0-9.-]{1,63}\/)?[a-zA-Z0-9_-]{1,64}$/
// A segment that is `.` or `..` is none; said without a look-ahead, which the API server's regular expressions lack.
const FILE_PATH = /^(\.*[a-zA-Z0-9_-][a-zA-Z0-9_.-]*|\.{3,})(\/(\.*[a-zA-Z0-9_-][a-zA-Z0-9_.-]*|\.{3,}))*$/

/** A DNS label of at most 63 characters (RFC 1123): names of objects, models, bundles, steps. */
export const dnsLabel = () =>
  z.string().min(1).max(63).regex(DNS_LABEL, 'must be a DNS label: lower-case letters, digits and "-"')

/** The name of one tool, as models accept it. */
export const toolName = () =>
  z.string().min(1).max(64).regex(TOOL_NAME, 'must be a tool name: letters, digits, "_" and "-", at most 64')

/** A tool by name, by glob (`calendar_*`) or by bundle (`support/refund`). */
export const toolPattern = () =>
  z.string().min(1).max(128).regex(TOOL_PATTERN, 'must be a tool name, a glob such as calendar_*, or bundle/name')

/** One tool by name or by bundle (`support/refund`). */
export const toolReference = () =>
  z.string().min(1).max(128).regex(TOOL_REFERENCE, 'must be a tool name or bundle/name')

/** A file of a bundle, by its path or, for prompts, by its name without role folder and infix. */
export const filePath = () =>
  z.string().min(1).max(253).regex(FILE_PATH, 'must be a relative file path without spaces, "." or ".." segments')

/** Text of bounded length. */
export const text = (max: number) => z.string().max(max)

/** Longest instructions, in characters; longer text is a prompt file. */
export const MAX_INSTRUCTIONS = 262_144

/** A list in which every entry is distinct (`x-kubernetes-list-type: set`). */
export const setOf = <T extends z.ZodType<string>>(entry: T, max = MAX_LIST) =>
  z
    .array(entry)
    .max(max)
    .refine((list) => new Set(list).size === list.length, { message: 'has an entry twice' })
    .meta({ 'x-kubernetes-list-type': 'set' })

/** A list of objects keyed by `name` (`x-kubernetes-list-type: map`), so that two field managers can each own entries. */
export const listByName = <T extends z.ZodType<{ name: string }>>(entry: T, max = MAX_LIST) =>
  z
    .array(entry)
    .max(max)
    .superRefine((list, context) => {
      const seen = new Set<string>()
      list.forEach(({ name }, index) => {
        if (seen.has(name))
          context.addIssue({ code: 'custom', path: [index, 'name'], message: `"${name}" is used twice` })
        seen.add(name)
      })
    })
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })

/** JSON of any shape, kept as it is (`x-kubernetes-preserve-unknown-fields`). */
export const freeJson = () => z.json().meta({ 'x-kubernetes-preserve-unknown-fields': true })

/** A JSON object of any shape. */
export const freeObject = () => z.record(z.string(), z.json()).meta({ 'x-kubernetes-preserve-unknown-fields': true })

/** One CEL rule of a CRD and the same rule for a parsed value, so that dev mode refuses what the API server refuses. */
export type Rule<T> = { rule: string; message: string; holds: (value: T) => boolean }

/** Attaches rules to a schema: zod checks `holds`, the CRD carries `rule`. */
export function withRules<T extends z.ZodType>(schema: T, rules: readonly Rule<z.output<T>>[]): T {
  return schema
    .superRefine((value, context) => {
      for (const { holds, message } of rules) if (!holds(value)) context.addIssue({ code: 'custom', message })
    })
    .meta({ 'x-kubernetes-validations': rules.map(({ rule, message }) => ({ rule, message })) }) as T
}

/** Exactly one of the named optional fields is set. */
export function exactlyOne<T extends object>(...fields: readonly (keyof T & string)[]): Rule<T> {
  return {
    rule: `[${fields.map((field) => `has(self.${field})`).join(', ')}].filter(x, x).size() == 1`,
    message: `exactly one of ${fields.join(', ')} must be set`,
    holds: (value) => fields.filter((field) => value[field] !== undefined).length === 1,
  }
}

/** At most one of the named optional fields is set. */
export function atMostOne<T extends object>(...fields: readonly (keyof T & string)[]): Rule<T> {
  return {
    rule: `[${fields.map((field) => `has(self.${field})`).join(', ')}].filter(x, x).size() <= 1`,
    message: `at most one of ${fields.join(', ')} may be set`,
    holds: (value) => fields.filter((field) => value[field] !== undefined).length <= 1,
  }
}

/** Sampling parameters, under the names of the AI SDK's call options. */
export const modelParameters = z.strictObject({
  temperature: z.number().min(0).max(2).optional().describe('How varied answers are: 0 is the same each time'),
  topP: z.number().min(0).max(1).optional().describe('Share of the likeliest words that are chosen from'),
  topK: z.int().min(1).max(1000).optional().describe('Number of the likeliest words that are chosen from'),
  maxOutputTokens: z.int().min(1).max(1_000_000).optional().describe('Longest answer of one model call, in tokens'),
  presencePenalty: z
    .number()
    .min(-2)
    .max(2)
    .optional()
    .describe('Above 0, words that were used at all are less likely'),
  frequencyPenalty: z
    .number()
    .min(-2)
    .max(2)
    .optional()
    .describe('Above 0, words are less likely the more often they were used'),
  seed: z.int().min(0).max(2_147_483_647).optional().describe('Makes answers repeatable where the provider can'),
  stopSequences: z
    .array(text(256))
    .max(4)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'atomic' })
    .describe('Texts at which an answer ends'),
})
export type ModelParameters = z.output<typeof modelParameters>

export const reason = z.enum(Object.keys(REASONS) as [Reason, ...Reason[]])

/** A problem as it travels. Not beside its type: tool hosts, which tell problems too, do without zod. */
export const problem = z.strictObject({
  reason,
  message: z.string(),
  path: z.string().optional(),
  file: z.string().optional(),
  line: z.int().positive().optional(),
  column: z.int().positive().optional(),
}) satisfies z.ZodType<Problem>

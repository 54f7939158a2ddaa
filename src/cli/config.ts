import { z } from 'zod'

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The one look at the process's environment. */
export const processEnvironment = (): Environment => process.env

/** What the user asked for is impossible; the message names the flag or variable, and the fix. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What was asked for was understood and could not be done. Exit code 1. */
export class FailureError extends Error {
  override readonly name = 'FailureError'
}

const port = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^-?\d+(\.\d+)?$/)
        .transform(Number),
    ],
    'must be a number',
  )
  .pipe(z.int('must be a whole number').min(0, 'must be 0 or more').max(65_535, 'must be at most 65535'))
const flag = z.union([z.boolean(), z.stringbool('must be true or false')])
const list = z.union([z.array(z.string()), z.string().transform((entries) => entries.split(',').filter(Boolean))])
const text = z.string().min(1, 'must not be empty')

const listening = { port: port.default(7777), host: text.default('127.0.0.1'), metricsPort: port.default(9464) }

export const devConfig = z.object({ ...listening, once: flag.default(false) })
export type DevConfig = z.output<typeof devConfig>

export const runtimeConfig = z.object({
  ...listening,
  bundle: list.default([]).transform((entries, context) => entries.map((entry) => parseBundle(entry, context))),
  definitions: text.optional(),
  authKeyFile: text.optional(),
  insecureNoAuth: flag.default(false),
  isolation: z
    .enum(['none'], 'is not there yet but for "none": leave it out, or write --isolation none')
    .default('none'),
})
export type RuntimeConfig = z.output<typeof runtimeConfig>

export const chatConfig = z.object({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
    .default('http://127.0.0.1:7777')
    .transform((url) => url.replace(/\/+$/, '')),
  authKeyFile: text.optional(),
  message: text.optional(),
  session: text.optional(),
})
export type ChatConfig = z.output<typeof chatConfig>

function parseBundle(entry: string, context: z.RefinementCtx): { name: string; directory: string } {
  const match = /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)=(.+)$/.exec(entry)
  if (match === null) {
    const message = `"${entry}" must be NAME=DIR, with a name of lower-case letters, digits and "-"`
    context.addIssue({ code: 'custom', message })
  }
  return { name: match?.[1] ?? '', directory: match?.[2] ?? '' }
}

/** `metricsPort` → `--metrics-port`. */
export const flagOf = (field: string): string =>
  `--${field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** `metricsPort` → `MIDFLIGHT_METRICS_PORT`. */
export const variableOf = (field: string): string =>
  `MIDFLIGHT_${flagOf(field).slice(2).toUpperCase().replaceAll('-', '_')}`

/**
 * One command's configuration: its flags, else the environment, else the defaults.
 * @throws UsageError naming the flag or the variable
 */
export function parseConfig<S extends z.ZodObject>(schema: S, flags: object, environment: Environment): z.output<S> {
  const given = new Map(Object.entries(flags))
  const source = new Map<string, string>()
  const input = Object.keys(schema.shape).flatMap((field): [string, unknown][] => {
    const variable = environment[variableOf(field)]
    if (given.get(field) !== undefined) return [[field, given.get(field)]]
    if (variable === undefined || variable === '') return []
    source.set(field, variableOf(field))
    return [[field, variable]]
  })
  const result = schema.safeParse(Object.fromEntries(input))
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const wrong = String(issue?.path[0] ?? '')
  throw new UsageError(`${source.get(wrong) ?? flagOf(wrong)} ${issue?.message ?? 'is not valid'}`)
}

import { z } from 'zod'
import { LOG_LEVELS } from '../log.ts'

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
export const flag = z.union([z.boolean(), z.stringbool()], 'must be true or false')
const list = z.union([z.array(z.string()), z.string().transform((entries) => entries.split(',').filter(Boolean))])
export const text = z.string().min(1, 'must not be empty')

const listening = { port: port.default(7777), host: text.default('127.0.0.1'), metricsPort: port.default(9464) }

/** Whether the directories of bundles are followed; else they are read once. */
const hotReload = flag.default(true)

export const devConfig = z.object({
  ...listening,
  once: flag.default(false),
  hotReload,
  /** Dev mode tells its reloads on stdout by itself. */
  reloadLog: flag.default(false),
})
export type DevConfig = z.output<typeof devConfig>

const SECONDS = 'must be a whole number of seconds from 0 to 3600'
const seconds = z.coerce.number(SECONDS).pipe(z.int(SECONDS).min(0, SECONDS).max(3600, SECONDS))

export const runtimeConfig = z
  .object({
    ...listening,
    bundle: list.default([]).transform((entries, context) => entries.map((entry) => parseBundle(entry, context))),
    definitions: text.optional(),
    authKeyFile: text.optional(),
    insecureNoAuth: flag.default(false),
    allowHost: list.default([]),
    managementHost: text.optional(),
    managementPort: port.optional(),
    managementTokenFile: list.default([]),
    managementCert: text.optional(),
    managementKey: text.optional(),
    podUid: text.optional(),
    bootSet: text.optional(),
    drainSeconds: seconds.default(10),
    finalScrapeSeconds: seconds.default(0),
    hotReload,
    reloadLog: flag.default(true),
    terminationLog: text.optional(),
    isolation: z
      .enum(['process', 'none'], 'must be process (each bundle in a process of its own) or none (in this process)')
      .optional(),
  })
  .superRefine(checkManagement)
export type RuntimeConfig = z.output<typeof runtimeConfig>

const WORKERS = 'must be a whole number from 1 to 1000'
const namespaceName = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must name namespaces, separated by commas')

export const operatorConfig = z.object({
  kubeconfig: text.optional(),
  context: text.optional(),
  namespaces: list.default([]).pipe(z.array(namespaceName)),
  metricsHost: text.default('::'),
  metricsPort: port.default(8080),
  workers: z.coerce.number(WORKERS).pipe(z.int(WORKERS).min(1, WORKERS).max(1000, WORKERS)).default(20),
  leaderElection: flag.default(true),
  leaseNamespace: namespaceName.optional(),
  leaseName: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?$/, 'must be a lower-case name of letters, digits and "-"')
    .optional(),
  runtimeImage: text.optional(),
  runtimeImagePullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'], 'must be one of Always, IfNotPresent, Never')
    .optional(),
  logLevel: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
})
export type OperatorConfig = z.output<typeof operatorConfig>

/** What a cluster gives to the processes of its pods. */
export type PodEnvironment = {
  readonly serviceHost: string | undefined
  readonly servicePort: string | undefined
  /** Files that KUBECONFIG names. */
  readonly kubeconfig: string | undefined
  readonly home: string | undefined
  readonly hostname: string | undefined
}

export const podEnvironment = (environment: Environment): PodEnvironment => ({
  serviceHost: environment.KUBERNETES_SERVICE_HOST,
  servicePort: environment.KUBERNETES_SERVICE_PORT,
  kubeconfig: environment.KUBECONFIG,
  home: environment.HOME,
  hostname: environment.HOSTNAME,
})

type ManagementFlags = {
  readonly definitions?: string | undefined
  readonly managementHost?: string | undefined
  readonly managementPort?: number | undefined
  readonly managementTokenFile: readonly string[]
  readonly managementCert?: string | undefined
  readonly managementKey?: string | undefined
  readonly bootSet?: string | undefined
}

/** The management protocol is served exactly when it has a token; then the items come from the operator. */
function checkManagement(flags: ManagementFlags, context: z.RefinementCtx): void {
  const refuse = (field: keyof ManagementFlags, message: string): void =>
    context.addIssue({ code: 'custom', path: [field], message })
  if (flags.managementTokenFile.length === 0) {
    for (const field of ['managementHost', 'managementPort', 'managementCert', 'managementKey', 'bootSet'] as const)
      if (flags[field] !== undefined)
        refuse(field, 'needs --management-token-file: without a token the management protocol is not served')
    return
  }
  if (flags.definitions !== undefined)
    refuse('definitions', 'cannot be given with --management-token-file: then the operator brings the items')
  if (flags.managementCert !== undefined && flags.managementKey === undefined)
    refuse('managementCert', 'needs --management-key, the key of the certificate')
  if (flags.managementKey !== undefined && flags.managementCert === undefined)
    refuse('managementKey', 'needs --management-cert, the certificate of the key')
}

export const conformanceConfig = z.object({
  url: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).default('http://127.0.0.1:7778'),
  tokenFile: text.optional(),
  caFile: text.optional(),
  serverName: text.optional(),
  force: flag.default(false),
  json: flag.default(false),
})
export type ConformanceConfig = z.output<typeof conformanceConfig>

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

/** Variables that go by the name under which another system knows them. */
const KNOWN_AS: Readonly<Record<string, string>> = { hotReload: 'HOT_RELOAD_ENABLED' }

/** `metricsPort` → `MIDFLIGHT_METRICS_PORT`. */
export const variableOf = (field: string): string =>
  KNOWN_AS[field] ?? `MIDFLIGHT_${flagOf(field).slice(2).toUpperCase().replaceAll('-', '_')}`

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

import { z } from 'zod'
import { flag, text, UsageError } from '../config.ts'
import { durationMs } from './text.ts'

const namespaceName = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be the name of a namespace')

/** What all commands that ask a cluster take. */
export const clusterFlags = {
  kubeconfig: text.optional(),
  context: text.optional(),
  namespace: namespaceName.optional(),
}

const allNamespaces = flag.default(false)
const duration = z
  .string()
  .refine((value) => durationMs(value) !== undefined, { message: 'must be a duration such as 60s or 5m' })
  .transform((value) => durationMs(value) ?? 0)

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `must be one of ${values.join(', ')}`)

export const statusConfig = z.object({
  ...clusterFlags,
  allNamespaces,
  watch: flag.default(false),
  wait: flag.default(false),
  timeout: duration.default(60_000),
  output: oneOf(['table', 'json']).default('table'),
})
export type StatusConfig = z.output<typeof statusConfig>

export const getConfig = z.object({
  ...clusterFlags,
  allNamespaces,
  output: oneOf(['table', 'wide', 'json', 'yaml', 'name']).default('table'),
})
export type GetConfig = z.output<typeof getConfig>

export const doctorConfig = z.object({
  ...clusterFlags,
  allNamespaces,
  operatorNamespace: namespaceName.optional(),
  output: oneOf(['table', 'json']).default('table'),
})
export type DoctorConfig = z.output<typeof doctorConfig>

/** @throws UsageError for a namespace together with all of them */
export function checkScope({
  namespace,
  allNamespaces: all,
}: {
  namespace?: string | undefined
  allNamespaces: boolean
}) {
  if (namespace !== undefined && all)
    throw new UsageError('--namespace and --all-namespaces cannot go together: leave one out')
}

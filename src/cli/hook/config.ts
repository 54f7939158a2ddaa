import { z } from 'zod'
import { clusterFlags } from '../cluster/config.ts'
import { durationMs } from '../cluster/text.ts'
import { text } from '../config.ts'

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const label = z.string().regex(LABEL, 'must be a lower-case name of letters, digits and "-"')
const labels = z
  .string()
  .transform((names) => names.split(',').filter(Boolean))
  .pipe(z.array(label))
const duration = z
  .string()
  .refine((value) => durationMs(value) !== undefined, { message: 'must be a duration such as 60s or 5m' })
  .transform((value) => durationMs(value) ?? 0)

const { kubeconfig, context } = clusterFlags
const access = { kubeconfig, context, timeout: duration.default(60_000) }

export const applyDefaultsConfig = z.object({ ...access, spec: text, namespaces: labels.default(['default']) })
export type ApplyDefaultsConfig = z.output<typeof applyDefaultsConfig>

export const releaseFinalizersConfig = z
  .object({
    ...access,
    namespaces: labels.default([]),
    deployment: label.optional(),
    deploymentNamespace: label.optional(),
  })
  .refine((flags) => (flags.deployment === undefined) === (flags.deploymentNamespace === undefined), {
    path: ['deployment'],
    message: 'and --deployment-namespace go together: name the operator to stop by both, or leave both out',
  })
export type ReleaseFinalizersConfig = z.output<typeof releaseFinalizersConfig>

export const testConfig = z
  .object({
    ...access,
    timeout: duration.default(120_000),
    // `NAME-runtime` has to be a label too.
    name: label.max(55, 'must have at most 55 characters').default('midflight-test'),
    namespace: label.optional(),
    pod: z
      .string()
      .transform((json, refinement) => {
        try {
          return z.record(z.string(), z.unknown()).parse(JSON.parse(json))
        } catch {
          refinement.addIssue({ code: 'custom', message: 'must be an object in JSON: spec.pod of the AgentRuntime' })
          return z.NEVER
        }
      })
      .optional(),
    runtime: label.optional(),
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .transform((url) => url.replace(/\/+$/, ''))
      .optional(),
  })
  .refine(({ runtime, pod }) => runtime === undefined || pod === undefined, {
    path: ['pod'],
    message: 'is for the AgentRuntime that the test makes: it cannot go with --runtime',
  })
export type TestConfig = z.output<typeof testConfig>

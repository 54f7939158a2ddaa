import { readFileSync } from 'node:fs'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { API_VERSION, KINDS } from '../../api/index.ts'
import { isApiError } from '../../kube/index.ts'
import { isRecord, typeOf } from '../cluster/objects.ts'
import { FailureError, UsageError } from '../config.ts'
import { type HookContext, type Look, untilFound } from './step.ts'

/** Of the fields that the defaults set, apart from the operator's and from people's. */
const FIELD_MANAGER = 'midflight-defaults'
const NAME = 'default'

export type Defaults = {
  readonly spec: object
  readonly namespaces: readonly string[]
  readonly timeoutMs: number
}

/**
 * The spec of an AgentRuntime, in YAML or JSON.
 * @throws UsageError for a file that cannot be read, or holds no object
 */
export function readSpec(file: string): object {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`--spec ${file} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
  const document = parseDocument(text)
  const value: unknown = document.errors.length === 0 ? document.toJS() : undefined
  if (!isRecord(value)) throw new UsageError(`--spec ${file} must hold the spec of an AgentRuntime, in YAML or JSON`)
  return value
}

/**
 * Applies the AgentRuntime `default` in each namespace, by server-side apply under a field manager of its own: fields of
 * the spec get its values, whoever set them last; all others stay as they are. Repeating it changes nothing.
 * @throws FailureError when the kinds are not served in time, or the API server refuses it
 */
export async function applyDefaults({ spec, namespaces, timeoutMs }: Defaults, context: HookContext): Promise<void> {
  const { say } = context
  say(`waiting until the API server serves ${API_VERSION}`)
  const step = { timeoutMs, fix: 'install the CustomResourceDefinitions: crds.enabled of the chart, or midflight crds' }
  await untilFound(context, { ...step, what: 'that the kinds are served' }, () => kindsServed(context))
  for (const namespace of namespaces) {
    await applyOne(namespace, spec, context)
    say(`AgentRuntime ${NAME} of namespace ${namespace}: applied`)
  }
}

const resourceList = z.looseObject({ resources: z.array(z.looseObject({ name: z.string() })) })

/** The API's own list of what it serves, which everybody may read: a definition that is there need not be served yet. */
async function kindsServed({ client, signal }: HookContext): Promise<Look<true>> {
  try {
    const answer = await client.request({ method: 'GET', path: `/apis/${API_VERSION}` }, signal)
    const served = new Set(resourceList.parse(answer).resources.map(({ name }) => name))
    const missing = Object.values(KINDS).filter(({ plural }) => !served.has(plural))
    return missing.length === 0 ? { found: true } : { because: `${missing.map(({ plural }) => plural)} are missing` }
  } catch (error) {
    if (isApiError(error, 404)) return { because: `the API server does not know ${API_VERSION}` }
    throw error
  }
}

async function applyOne(namespace: string, spec: object, { client, signal }: HookContext): Promise<void> {
  const body = { apiVersion: API_VERSION, kind: 'AgentRuntime', metadata: { name: NAME, namespace }, spec }
  const patch = { type: 'apply', body, fieldManager: FIELD_MANAGER, force: true } as const
  try {
    await client.patch(typeOf('AgentRuntime'), { namespace, name: NAME }, patch, signal)
  } catch (error) {
    if (!isApiError(error)) throw error
    const fix = error.code === 404 ? 'create the namespace' : 'correct defaultRuntime.spec in the values'
    throw new FailureError(`AgentRuntime ${NAME} of namespace ${namespace}: ${error.message}; ${fix}`)
  }
}

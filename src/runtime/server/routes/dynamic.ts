import type { JSONObject } from '@ai-sdk/provider'
import { type RequestHandler, Router } from 'express'
import {
  type Definition,
  definition,
  type ItemResult,
  type Problem,
  ProblemError,
  problemOfIssues,
  type RunnablePlural,
} from '../../../api/index.ts'
import type { Log } from '../../../log.ts'
import type { DynamicItems, SnapshotSource } from '../../registry/port.ts'
import type { Snapshot } from '../../registry/snapshot.ts'
import type { Runs } from '../../run/port.ts'
import { readBody } from '../http/body.ts'
import { HttpError } from '../http/errors.ts'
import { param, route } from '../http/route.ts'
import { isObject, itemsOf, RUNNABLE_KINDS, SINGULAR } from './views.ts'

export type DynamicDeps = {
  readonly snapshots: SnapshotSource
  readonly runs: Runs
  readonly dynamic: DynamicItems
  readonly log: Log
  /** How long a removal waits for the item's runs to end, in milliseconds; then they end on their own. */
  readonly cancelWaitMs: number
}

const CONFIG_FIELD = { agents: 'agent_config', teams: 'team_config', workflows: 'workflow_config' } as const

/** AgentOS's dynamic calls. What they add is owned by `api`, lives in this process only, and is gone with it. */
export function dynamicRoutes(deps: DynamicDeps): Router {
  const router = Router()
  const { snapshots } = deps
  for (const kind of RUNNABLE_KINDS) {
    route(router, `/runtime/${kind}`, {
      post: [
        ...readBody,
        async (req, res) => {
          const config = parseConfig(kind, req.body, req.is('application/json') === false)
          res.json({ message: await add(kind, config, deps) })
        },
      ],
    })
    route(router, `/runtime/${kind}/:id`, {
      delete: [async (req, res) => void res.json({ message: await remove(kind, param(req.params, 'id'), deps) })],
    })
  }
  // Routes are looked up in the snapshot per request, so there is nothing that could be stale.
  route(router, '/runtime/refresh', {
    post: [(_req, res) => void res.json({ message: 'Routes refreshed successfully' })],
  })
  route(router, '/runtime/stats', { get: [(_req, res) => void res.json(statsOf(snapshots.current))] })
  return router
}

/** Answers the dynamic calls while the settings that serve do not turn them on. */
export const refuseUndeclared =
  (snapshots: SnapshotSource): RequestHandler =>
  (_req, _res, next) => {
    const { enabled } = snapshots.current.settings.definition.spec.dynamicApi
    next(enabled ? undefined : new HttpError(404, DYNAMIC_OFF))
  }

const DYNAMIC_OFF =
  'The dynamic API is off: agents, teams and workflows of this runtime are declared as resources; ' +
  'spec.dynamicApi.enabled of the AgentRuntime turns it on'

const statsOf = (snapshot: Snapshot): JSONObject => {
  const kinds = RUNNABLE_KINDS.map(
    (kind) => [kind, itemsOf(snapshot, kind).map((item) => item.definition.name)] as const,
  )
  const entries = [...kinds, ['databases', []] as const]
  return Object.fromEntries(entries.map(([kind, ids]) => [kind, { count: ids.length, ids: [...ids] }]))
}

type Config = Record<string, unknown>

async function add(kind: RunnablePlural, config: Config, { dynamic, snapshots, log }: DynamicDeps): Promise<string> {
  const parsed = parseDefinition(kind, config, snapshots.current)
  const subject = `${SINGULAR[kind]} ${parsed.name}`
  let result: ItemResult
  try {
    result = await dynamic.add(parsed)
  } catch (error) {
    throw addRefusal(error, kind, parsed.name) ?? error
  }
  // A pending item has been added: it serves as soon as what it waits for is there.
  if (result.outcome === 'rejected') {
    const refused = rejection(subject, result.error)
    throw addRefusal(refused, kind, parsed.name) ?? refused
  }
  log.info('added by a dynamic call', { item: `${kind}/${parsed.name}`, outcome: result.outcome })
  return `${subject} added successfully`
}

function addRefusal(error: unknown, kind: RunnablePlural, name: string): HttpError | undefined {
  if (!(error instanceof ProblemError)) return undefined
  const { reason } = error.problem
  if (reason === 'DuplicateName') return new HttpError(400, `${SINGULAR[kind]} with ID ${name} already exists`)
  if (reason === 'OwnedByOther') return new HttpError(409, `${SINGULAR[kind]} ${name} is owned by operator`)
  return undefined
}

const rejection = (subject: string, problem: Problem | undefined): ProblemError =>
  new ProblemError(problem ?? { reason: 'InvalidSpec', message: `${subject} was rejected` })

async function remove(kind: RunnablePlural, name: string, deps: DynamicDeps): Promise<string> {
  const { dynamic, runs, log, cancelWaitMs } = deps
  const subject = `${SINGULAR[kind]} ${name}`
  const owner = dynamic.ownerOf(kind, name)
  if (owner === undefined) throw new HttpError(404, `${subject} not found`)
  if (owner !== 'api') throw new HttpError(409, `${subject} is owned by ${owner}`)
  try {
    await dynamic.remove(kind, name)
  } catch (error) {
    const gone = error instanceof ProblemError && error.problem.reason === `${SINGULAR[kind]}NotFound`
    throw gone ? new HttpError(404, `${subject} not found`) : error
  }
  await atMost(cancelWaitMs, runs.cancelAll({ kind, name }, `${subject} was removed`))
  log.info('removed by a dynamic call', { item: `${kind}/${name}` })
  return `${subject} removed successfully`
}

function atMost(ms: number, task: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    task.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/**
 * The config in a body: a form's field with JSON in it, JSON under that field's name, or the JSON body itself.
 * @throws HttpError 400 when the field is not JSON, 422 when there is none; ProblemError UnknownField beside it
 */
export function parseConfig(kind: RunnablePlural, body: unknown, isForm: boolean): Config {
  const field = CONFIG_FIELD[kind]
  const config = configOf(field, body, isForm)
  if (config === undefined)
    throw new HttpError(422, `${field} is required: a form field with a JSON object, or a JSON body`)
  if (!isObject(config)) throw new HttpError(422, `${field} must be a JSON object`)
  return config
}

function configOf(field: string, body: unknown, isForm: boolean): unknown {
  if (!isObject(body)) return body
  if (!isForm && !Object.hasOwn(body, field)) return body
  const other = Object.keys(body).find((name) => name !== field)
  if (other !== undefined) throw new ProblemError({ reason: 'UnknownField', message: `unknown field ${other}` })
  const given = body[field]
  return typeof given === 'string' ? parseJson(field, given) : given
}

function parseJson(field: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new HttpError(400, `${field} is not valid JSON`)
  }
}

/**
 * A config as a definition: `id`, `name`, `description`, and any field of the kind's spec.
 * @throws HttpError 400 without an id; ProblemError InvalidSpec, UnknownField naming the field
 */
export function parseDefinition(kind: RunnablePlural, config: Config, snapshot: Snapshot): Definition {
  const { id, name, ...spec } = config
  if (id === undefined || id === null || id === '') throw new HttpError(400, `${SINGULAR[kind]} ID is required`)
  const title = name === undefined || name === null || name === id ? {} : { title: name }
  const model = kind === 'workflows' || spec.model !== undefined ? {} : { model: defaultModel(snapshot) }
  const parsed = definition.safeParse({ kind: SINGULAR[kind], name: id, ...title, spec: { ...spec, ...model } })
  if (parsed.success) return parsed.data
  throw new ProblemError(inTermsOfConfig(problemOfIssues(parsed.error)))
}

/** AgentOS's minimal config names no model: the runtime's `default`, else its first. */
function defaultModel({ models }: Snapshot): string {
  const [first] = models.keys()
  return models.has('default') || first === undefined ? 'default' : first
}

/** A problem's path as the caller wrote it: `id` for the definition's name, no `spec.` before a field. */
function inTermsOfConfig(problem: Problem): Problem {
  const rename = (text: string): string =>
    text
      .replace(/^(unknown field )?spec\./, '$1')
      .replace(/^name(?=:|$)/, 'id')
      .replace(/^title(?=:|$)/, 'name')
  const { path, ...rest } = problem
  return { ...rest, message: rename(problem.message), ...(path === undefined ? {} : { path: rename(path) }) }
}

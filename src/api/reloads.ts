import { z } from 'zod'
import { problem } from './kinds/common.ts'
import { itemResult } from './management.ts'
import { schemasOf } from './openapi.ts'

/** Parts of a reload, in milliseconds as far as they were measured. */
export const RELOAD_PARTS = ['detect', 'read', 'transform', 'load', 'check', 'activate'] as const
const RELOAD_OUTCOMES = ['activated', 'removed', 'unchanged', 'rejected', 'pending', 'reverted'] as const
const FILE_CHANGES = ['created', 'modified', 'deleted'] as const
const FILE_ROLES = ['tool', 'prompt', 'extension', 'helper'] as const

const paths = z.array(z.string())
const count = z.int().nonnegative()
const hash = z.string()

const fileChange = z.strictObject({ path: z.string(), change: z.enum(FILE_CHANGES) })

/** What became of one change of a bundle's files. Lists and texts are bounded; `more` counts what was cut. */
export const reloadRecord = z.strictObject({
  id: z.string().describe('`<boot id>/<number>`, numbered without gaps'),
  at: z.iso.datetime(),
  bundle: z.string(),
  source: z.enum(['push', 'mount', 'api', 'probation']),
  result: z.enum(RELOAD_OUTCOMES),
  hash: hash.optional().describe('Version that came; of `reverted` the one that was gone back to'),
  files: z.array(fileChange).describe('Against the version that came before, served or not'),
  reloaded: paths.describe('Modules that are new instances, in order of evaluation'),
  kept: paths.describe('Modules that kept their instance and state'),
  more: z.strictObject({ files: count, reloaded: count, kept: count }).partial().optional(),
  stages: z.partialRecord(z.enum(RELOAD_PARTS), z.number()).describe('Milliseconds'),
  error: problem.optional(),
})
export type ReloadRecord = z.output<typeof reloadRecord>

export const reloadList = z.strictObject({ reloads: z.array(reloadRecord).describe('The newest first') })

export const reloadQuery = z.strictObject({
  limit: z.coerce.number('must be a number').pipe(z.int().min(1).max(1_000)).default(100),
  bundle: z.string().optional(),
  result: z.enum(RELOAD_OUTCOMES).optional(),
})

const fileNode = z.strictObject({
  path: z.string(),
  role: z.enum(FILE_ROLES),
  module: z.string().optional().describe('Dotted name of a module'),
  dependencies: paths.describe('Files that it imports or includes'),
  packages: z.array(z.string()),
  dependents: paths.describe('Files that import or include it'),
  used_by: z.array(z.string()).describe('Items that reach it by a tool or a prompt; an extension is for every run'),
})

const bundleFiles = z.strictObject({ name: z.string(), hash, files: z.array(fileNode) })
export const reloadGraph = z.strictObject({
  bundles: z.array(bundleFiles),
  order: paths.optional().describe('With `file`: the file, then what depends on it, breadth first'),
})
export type ReloadGraph = z.output<typeof reloadGraph>

export const retryBody = z.strictObject({ bundle: z.string().optional() })
export const retryAnswer = z.strictObject({ bundles: z.record(z.string(), itemResult) })

export const rollbackBody = z.strictObject({ hash: hash.optional() })
export const rollbackAnswer = z.strictObject({ bundle: z.string(), from: hash, to: hash, outcome: z.string() })

const hotReloadStatus = z.strictObject({
  enabled: z.boolean(),
  status: z.enum(['running', 'stopped']),
  message: z.enum(['Hot-reload system is operational', 'Hot-reload system is not running']),
})

/** Answer to Agent Zero's action `status`. */
export type HotReloadStatus = z.output<typeof hotReloadStatus>

const hotReloadStats = z.strictObject({
  success: z.literal(true),
  stats: z.strictObject({
    reloads: count,
    successes: count,
    failures: count,
    cache_stats: z.strictObject({ total_modules: count, total_loads: count, total_errors: count }),
    is_running: z.boolean(),
  }),
})
/** Answer to Agent Zero's action `stats`. */
export type HotReloadStats = z.output<typeof hotReloadStats>

const failure = z.strictObject({ detail: z.string(), error_code: z.string().optional() })
const unknownAction = z.strictObject({ error: z.string() })
const hotReloadBody = z.object({ action: z.enum(['status', 'stats']).default('status') })

type Json = Readonly<Record<string, unknown>>
const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: Json): Json => ({ 'application/json': { schema } })
const answer = (description: string, schema: string): Json => ({ description, content: json(ref(schema)) })
const refusals = (texts: Readonly<Record<number, string>>): Json =>
  Object.fromEntries(Object.entries(texts).map(([status, text]) => [status, answer(text, 'Failure')]))
const query = (name: string, schema: Json): Json => ({ in: 'query', name, schema })
const body = (schema: string): Json => ({ required: false, content: json(ref(schema)) })
const KEY = { 401: 'No key, or a wrong one' }

const HOT_RELOAD_ANSWER = {
  description: 'By the action; an unknown one is answered with `error`',
  content: json({ oneOf: [ref('HotReloadStatus'), ref('HotReloadStats'), ref('UnknownAction')] }),
}

const LIST = {
  summary: 'The last reloads of files',
  parameters: [
    query('limit', { type: 'integer', minimum: 1, maximum: 1_000, default: 100 }),
    query('bundle', { type: 'string' }),
    query('result', { enum: RELOAD_OUTCOMES }),
  ],
  responses: { 200: answer('The newest first', 'ReloadList'), ...refusals({ ...KEY, 422: 'A parameter is wrong' }) },
}

const EVENTS = {
  summary: 'Server-sent events: `reload` with each record, `reset` when some are missing',
  parameters: [{ in: 'header', name: 'Last-Event-ID', schema: { type: 'string' } }],
  responses: {
    200: {
      description: 'The `data` of a `reload` is one record',
      content: { 'text/event-stream': { schema: ref('Reload') } },
    },
    ...refusals(KEY),
  },
}

const GRAPH = {
  summary: 'Files of the bundles that serve: what they import and include, and who uses them',
  parameters: [query('file', { type: 'string', description: '`bundle/path`: adds what a change of it reaches' })],
  responses: { 200: answer('By bundle', 'ReloadGraph'), ...refusals({ ...KEY, 404: 'No such file' }) },
}

const RETRY = {
  summary: 'Loads again what was refused or waits',
  requestBody: body('RetryBody'),
  responses: { 200: answer('What became of each', 'RetryAnswer'), ...refusals({ ...KEY, 404: 'No such bundle' }) },
}

const ROLLBACK = {
  summary: 'Goes back to an earlier version of a bundle, until its files change',
  parameters: [{ in: 'path', name: 'name', required: true, schema: { type: 'string' } }],
  requestBody: body('RollbackBody'),
  responses: {
    200: answer('Done', 'RollbackAnswer'),
    ...refusals({
      ...KEY,
      404: 'No such bundle, or that version is not held',
      409: 'There is no earlier version, the operator owns the bundle, or an item needs what that version lacks',
      422: 'The body is wrong, or that version cannot be loaded any more',
    }),
  },
}

const hotReload = (parts: Json): Json => ({
  summary: "Agent Zero's status and statistics of hot reload",
  ...parts,
  responses: { 200: HOT_RELOAD_ANSWER, ...refusals(KEY) },
})

/** The OpenAPI 3.1 document of the calls about reloads on port 7777, made from their schemas. */
export function reloadsOpenApi(): Json {
  const answers = {
    Reload: reloadRecord,
    ReloadList: reloadList,
    ReloadGraph: reloadGraph,
    RetryAnswer: retryAnswer,
    RollbackAnswer: rollbackAnswer,
    HotReloadStatus: hotReloadStatus,
    HotReloadStats: hotReloadStats,
    UnknownAction: unknownAction,
    Failure: failure,
  }
  const sent = { RetryBody: retryBody, RollbackBody: rollbackBody, HotReloadBody: hotReloadBody }
  const action = query('action', { enum: ['status', 'stats'], default: 'status' })
  return {
    openapi: '3.1.0',
    info: { title: 'Midflight reloads', version: '1' },
    security: [{ bearer: [] }],
    paths: {
      '/reloads': { get: LIST },
      '/reloads/events': { get: EVENTS },
      '/reloads/graph': { get: GRAPH },
      '/reloads/retry': { post: RETRY },
      '/bundles/{name}/rollback': { post: ROLLBACK },
      '/hot_reload_status': {
        get: hotReload({ parameters: [action] }),
        post: hotReload({ requestBody: body('HotReloadBody') }),
      },
    },
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: { ...schemasOf(sent, 'input'), ...schemasOf(answers, 'output') },
    },
  }
}

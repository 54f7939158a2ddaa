import { z } from 'zod'
import { definition } from './definition.ts'
import { problem } from './kinds/common.ts'
import {
  applyRequest,
  applyResponse,
  bundlePush,
  bundleState,
  itemResult,
  itemState,
  PROTOCOL,
  runtimeEvent,
  runtimeState,
} from './management.ts'
import { REASONS, type Reason } from './reason.ts'

type Json = Readonly<Record<string, unknown>>

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })

/** Schemas of what a runtime answers. */
const ANSWERS = {
  RuntimeState: runtimeState,
  ItemState: itemState,
  BundleState: bundleState,
  ApplyResponse: applyResponse,
  ItemResult: itemResult,
  RuntimeEvent: runtimeEvent,
  Problem: problem,
}

/** Schemas of what a runtime is sent: fields with a default may be left out. */
const SENT = { ApplyRequest: applyRequest, BundlePush: bundlePush, Definition: definition }

/** The field that the envelope leaves open, because each item is parsed on its own. */
const openDefinition = applyRequest.shape.items.unwrap().valueType.shape.definition

export function schemasOf(named: Readonly<Record<string, z.ZodType>>, io: 'input' | 'output'): Record<string, unknown> {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(named)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, {
    io,
    unrepresentable: 'any',
    uri: (id) => `#/components/schemas/${id}`,
    override: ({ zodSchema, jsonSchema }) => {
      for (const key of Object.keys(jsonSchema)) if (key.startsWith('x-kubernetes-')) delete jsonSchema[key]
      if (zodSchema === openDefinition) Object.assign(jsonSchema, ref('Definition'))
    },
  })
  return liftShared(schemas, `${io}-`)
}

/** Zod puts what several schemas share under `__shared.$defs`, which no reference can reach: gives each its own name. */
function liftShared(schemas: Readonly<Record<string, object>>, prefix: string): Record<string, unknown> {
  const text = JSON.stringify(schemas).replaceAll('__shared#/$defs/', prefix)
  const { __shared: shared, ...named } = JSON.parse(text) as Record<string, SharedSchema>
  const lifted = Object.entries(shared?.$defs ?? {}).map(([id, schema]) => [`${prefix}${id}`, schema] as const)
  const own = Object.entries(named).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema] as const)
  return Object.fromEntries([...own, ...lifted])
}

type SharedSchema = {
  readonly $schema?: string
  readonly $id?: string
  readonly $defs?: Readonly<Record<string, unknown>>
}

const json = (schema: Json): Json => ({ 'application/json': { schema } })

const refusal = (description: string): Json => ({ description, content: json(ref('Problem')) })

/** Reasons for which a whole call is refused, by HTTP status. */
export const CALL_REFUSALS = [
  'Unauthorized',
  'StaleFence',
  'WrongTarget',
  'Claimed',
  'SnapshotMoved',
] as const satisfies readonly Reason[]

const refusalsOf = (status: number): string =>
  CALL_REFUSALS.filter((reason) => REASONS[reason].status === status).join(', ')

const UNAUTHORIZED = { 401: refusal(refusalsOf(401)) }

const STATE = {
  operationId: 'getState',
  summary: 'Everything that the runtime serves, waits with and was refused',
  parameters: [{ in: 'header', name: 'If-None-Match', schema: { type: 'string' } }],
  responses: {
    200: {
      description: 'The state now',
      headers: {
        ETag: { description: 'Weak: over everything but `stats`', schema: { type: 'string' } },
      },
      content: json(ref('RuntimeState')),
    },
    304: { description: 'Nothing but `stats` has changed' },
    ...UNAUTHORIZED,
  },
}

const APPLY = {
  operationId: 'apply',
  summary: 'Brings, changes and removes items, bundles, secrets and pins; item by item, and idempotent',
  requestBody: { required: true, content: json(ref('ApplyRequest')) },
  responses: {
    200: { description: 'What became of each item and bundle', content: json(ref('ApplyResponse')) },
    400: refusal('The body is not JSON'),
    ...UNAUTHORIZED,
    409: refusal(refusalsOf(409)),
    412: refusal(refusalsOf(412)),
    413: refusal('The body is larger than 16 MiB'),
    415: refusal('The body is not application/json'),
    422: refusal('The envelope is malformed: `path` names the field'),
  },
}

const EVENTS = {
  operationId: 'events',
  summary: 'Server-sent events: every change of an item or a bundle',
  parameters: [{ in: 'header', name: 'Last-Event-ID', schema: { type: 'string' } }],
  responses: {
    200: {
      description: 'Each `data` line is one event; `event` is its type and `id` its id',
      content: { 'text/event-stream': { schema: ref('RuntimeEvent') } },
    },
    ...UNAUTHORIZED,
  },
}

const OPENAPI = {
  operationId: 'getOpenApi',
  summary: 'This document',
  responses: { 200: { description: 'OpenAPI 3.1', content: json({ type: 'object' }) }, ...UNAUTHORIZED },
}

/** The OpenAPI 3.1 document of the management protocol, made from its schemas. */
export function managementOpenApi(): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Midflight management protocol',
      version: `${PROTOCOL.max}`,
      description: 'How an operator drives a runtime. docs/protocol.md explains it.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ token: [] }],
    paths: {
      '/management/v1/state': { get: STATE },
      '/management/v1/apply': { post: APPLY },
      '/management/v1/events': { get: EVENTS },
      '/management/v1/openapi.json': { get: OPENAPI },
    },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { ...schemasOf(ANSWERS, 'output'), ...schemasOf(SENT, 'input') },
    },
  }
}

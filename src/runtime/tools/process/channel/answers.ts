import { z } from 'zod'
import { EXTENSION_POINTS, problem } from '../../../../api/index.ts'
import { MAX_RESULT_BYTES } from '../../author/result.ts'

/** Longest frame from a host: the description of all tools of a bundle, or a result and what stands around it. */
export const MAX_FRAME_FROM_HOST = 4 * MAX_RESULT_BYTES

const id = z.int().min(1)
const path = z.string().max(1024)
// What JSON.parse gave is JSON.
const json = z.unknown()
const jsonObject = z.record(z.string(), z.unknown())

const failure = z.strictObject({
  problem,
  stack: z.string(),
  imported: z.strictObject({ from: path, specifier: z.string() }).optional(),
  refused: path.optional(),
})

const tool = z.strictObject({
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
  file: path,
  description: z.string(),
  parameters: jsonObject,
  idempotent: z.literal(true).optional(),
})

const line = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']),
  message: z.string(),
  fields: jsonObject.optional(),
})

/** What a host may say. It shares its process with tool code: nothing of it is trusted. */
export const answer = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready') }),
  z.strictObject({ type: z.literal('evaluating'), file: path }),
  z.strictObject({ type: z.literal('checking'), tool: z.string(), file: path }),
  z.strictObject({
    type: z.literal('loaded'),
    tools: z.array(tool),
    extensions: z.array(z.strictObject({ name: z.string(), file: path, point: z.enum(EXTENSION_POINTS) })),
    warnings: z.array(z.string()),
    reloaded: z.array(path),
    checkMs: z.number(),
  }),
  z.strictObject({ type: z.literal('refused'), failure }),
  z.strictObject({ type: z.literal('pong') }),
  z.strictObject({ type: z.literal('begun'), id }),
  z.strictObject({ type: z.literal('aborted'), id }),
  z.strictObject({ type: z.literal('result'), id, value: json }),
  z.strictObject({ type: z.literal('failed'), id, failure }),
  z.strictObject({ type: z.literal('link'), id, from: path, specifier: z.string() }),
  z.strictObject({ type: z.literal('log'), id: z.int().min(0), line }),
  z.strictObject({ type: z.literal('state'), name: z.string(), value: json, at: z.int().min(1) }),
  z.strictObject({ type: z.literal('fatal'), message: z.string(), stack: z.string() }),
])
export type Answer = z.output<typeof answer>
export type Loaded = Extract<Answer, { type: 'loaded' }>
export type Failure = z.output<typeof failure>

import type { z } from 'zod'
import {
  CONDITION_TYPES,
  type Condition,
  type ItemStatus,
  itemStatus,
  type RuntimeStatus,
  runtimeStatus,
} from '../../api/index.ts'

/** The status of an Agent, a Team or a Workflow as far as it can be read; undefined where there is none. */
export const parseItemStatus = (status: unknown): ItemStatus | undefined => parse(itemStatus, status)

/** The status of an AgentRuntime as far as it can be read; undefined where there is none. */
export const parseRuntimeStatus = (status: unknown): RuntimeStatus | undefined => parse(runtimeStatus, status)

/** A field that is not valid is left out, so that it is written anew; conditions are put in their order. */
function parse<S extends ItemStatus | RuntimeStatus>(
  schema: z.ZodObject & z.ZodType<S>,
  status: unknown,
): S | undefined {
  if (typeof status !== 'object' || status === null || Array.isArray(status)) return undefined
  const whole = schema.safeParse(status)
  const read = whole.success ? whole.data : parseFields(schema, status)
  if (read === undefined || Object.keys(read).length === 0) return undefined
  return read.conditions === undefined ? read : { ...read, conditions: inOrder(read.conditions) }
}

function parseFields<S>(schema: z.ZodObject & z.ZodType<S>, status: object): S | undefined {
  const fields = Object.entries(status).filter(([name, value]) => schema.shape[name]?.safeParse(value).success)
  const { success, data } = schema.safeParse(Object.fromEntries(fields))
  return success ? data : undefined
}

const inOrder = (conditions: readonly Condition[]): Condition[] =>
  [...conditions].sort((a, b) => CONDITION_TYPES.indexOf(a.type) - CONDITION_TYPES.indexOf(b.type))

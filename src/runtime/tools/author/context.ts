import type { JSONObject } from '@ai-sdk/provider'
import { messageOf } from '../modules/thrown.ts'
import type { ToolCallContext, ToolLogLine } from '../port.ts'
import type { ToolContext, ToolLog } from './midflight.ts'
import { plainJson } from './result.ts'

/** Longest message of a line, in characters, and most of its fields, in characters of JSON. */
export const MAX_LOG_MESSAGE = 2_000
export const MAX_LOG_FIELDS = 16_384

/** The context of a call as its code sees it. */
export function toolContext({ signal, session, run, secrets, log }: ToolCallContext): ToolContext {
  return { signal, session, run, log: toolLog(log), secrets: Object.freeze({ ...secrets }) }
}

function toolLog(write: ToolCallContext['log']): ToolLog {
  const at =
    (level: ToolLogLine['level']) =>
    (message: unknown, fields?: unknown): void =>
      write?.(lineOf(level, message, fields))
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** What code hands over may be anything, also something that throws when it is read. */
function lineOf(level: ToolLogLine['level'], message: unknown, fields: unknown): ToolLogLine {
  const line = {
    level,
    message: (typeof message === 'string' ? message : messageOf(message)).slice(0, MAX_LOG_MESSAGE),
  }
  return typeof fields === 'object' && fields !== null ? { ...line, fields: plainFields(fields) } : line
}

function plainFields(fields: object): JSONObject {
  try {
    const told = Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? messageOf(value) : value,
    ])
    const plain = plainJson('the fields', Object.fromEntries(told)) as JSONObject
    return JSON.stringify(plain).length <= MAX_LOG_FIELDS ? plain : { left_out: 'the fields are too large' }
  } catch (error) {
    return { left_out: messageOf(error) }
  }
}

import type { JSONObject } from '@ai-sdk/provider'
import { type Problem, ProblemError, regExpFault, type ScriptEntry } from '../../api/index.ts'

/** What a reply may name. `instructions` is the first line of the agent's instructions. */
export type ScriptVariables = {
  readonly agent: string
  readonly message: string
  readonly result: string
  readonly instructions: string
}

export type ScriptAnswer =
  | { readonly type: 'call'; readonly tool: string; readonly arguments: JSONObject }
  | { readonly type: 'text'; readonly text: string }

/** A script whose regular expressions are ready. */
export type Script = readonly { readonly pattern: RegExp; readonly entry: ScriptEntry }[]

/** The first entry whose `match` is no regular expression, as InvalidSpec; `path` is where the list stands. */
export function checkScript(entries: readonly ScriptEntry[], path = 'script'): Problem | undefined {
  for (const [index, { match }] of entries.entries()) {
    const why = regExpFault(match)
    const where = `${path}[${index}].match`
    if (why !== undefined) {
      return { reason: 'InvalidSpec', message: `${where} is not a regular expression: ${why}`, path: where }
    }
  }
  return undefined
}

/** @throws ProblemError InvalidSpec */
export function compileScript(entries: readonly ScriptEntry[], path = 'script'): Script {
  const problem = checkScript(entries, path)
  if (problem !== undefined) throw new ProblemError(problem)
  return entries.map((entry) => ({ pattern: new RegExp(entry.match), entry }))
}

const VARIABLE = /\{\{\s*(agent|message|result|instructions)\s*\}\}/g

/** Fills variables in once: what a value itself holds is never filled in again. Any other `{{ }}` stays as it is. */
export const fillReply = (text: string, variables: ScriptVariables): string =>
  text.replace(VARIABLE, (_, name: keyof ScriptVariables) => variables[name])

/** What the script answers; `mayCall` is false once the call has a result, or where no tool may be called. */
export function answerOf(script: Script, variables: ScriptVariables, mayCall: boolean): ScriptAnswer {
  const entry = script.find(({ pattern }) => pattern.test(variables.message))?.entry
  if (entry === undefined) return { type: 'text', text: 'No entry of the script matches this message.' }
  if (entry.call !== undefined && mayCall) return { type: 'call', ...entry.call }
  return { type: 'text', text: fillReply(entry.reply ?? '{{result}}', variables) }
}

import type { JSONObject } from '@ai-sdk/provider'
import { ProblemError, type SecretKeyRef } from '../../api/index.ts'
import { abandonOnAbort, type Clock, linkedTo } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { redaction } from '../models/index.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import type { ToolCallContext, ToolLogLine } from '../tools/port.ts'

/** What tool code gets of the runtime around it. */
export type ToolSurroundings = {
  /** The value of a Secret's key as it is now. */
  readonly secretOf: (ref: SecretKeyRef) => string | undefined
  readonly log: Log
}

/** Of which file a line is: fields of the log. */
type Origin = { readonly bundle: string; readonly tool?: string; readonly extension?: string; readonly run?: string }

/** What a call's context has besides signal, session and run. A line never holds the value of a secret. */
export function surroundingsOf(
  surroundings: ToolSurroundings | undefined,
  { settings }: Pick<Snapshot, 'settings'>,
  origin: Origin,
): Pick<ToolCallContext, 'secrets' | 'log'> {
  if (surroundings === undefined) return {}
  const { log, secretOf } = surroundings
  const declared = settings.definition.spec.tools.secrets
  const values = declared.flatMap(({ name, secretKeyRef }) => {
    const value = secretOf(secretKeyRef)
    return value === undefined ? [] : [[name, value] as const]
  })
  return guarded(log, Object.fromEntries(values), origin)
}

/** What the self-tests of a bundle have of the runtime. */
export const selfTestContext = (
  log: Log,
  bundle: string,
  secrets: Readonly<Record<string, string>>,
): Pick<ToolCallContext, 'secrets' | 'log'> => guarded(log, secrets, { bundle })

function guarded(log: Log, secrets: Readonly<Record<string, string>>, origin: Origin) {
  const redact = redactionOf(Object.values(secrets))
  const write = ({ level, message, fields }: ToolLogLine): void =>
    log[level](redact(message), { ...origin, ...(fields && { fields: plainRedacted(fields, redact) }) })
  return { log: write, secrets }
}

type Redact = (text: string) => string

/** Longer ones first: one may be part of another. */
function redactionOf(values: readonly string[]): Redact {
  const ordered = [...values].sort((a, b) => b.length - a.length)
  const each = ordered.map(redaction)
  return (text) => {
    const whole = each.reduce((rest, redact) => redact(rest), text)
    return text.length < CUT_AT ? whole : ordered.reduce(withoutBeginning, whole)
  }
}

/** Messages of tool code are cut at this length or a later one, perhaps within a value. */
const CUT_AT = 2_000

/** Beginnings of values that are shorter tell nothing. */
const TELLING = 4

/** The text without the beginning of a value at its end. */
function withoutBeginning(text: string, value: string): string {
  for (let length = value.length - 1; length >= TELLING; length -= 1)
    if (text.endsWith(value.slice(0, length))) return `${text.slice(0, -length)}[redacted]`
  return text
}

function plainRedacted(fields: JSONObject, redact: Redact): JSONObject {
  try {
    return JSON.parse(redact(JSON.stringify(fields)))
  } catch {
    // The value of a secret is part of the notation, such as a bracket.
    return { left_out: 'the fields hold the value of a secret' }
  }
}

/** The same failure without the values of secrets that tool code may have put into it. */
export function withoutSecrets(error: unknown, { secrets }: Pick<ToolCallContext, 'secrets'>): unknown {
  if (secrets === undefined || !(error instanceof ProblemError)) return error
  const redact = redactionOf(Object.values(secrets))
  const { message, path, ...rest } = error.problem
  const told = { message: redact(message), ...(path !== undefined && { path: redact(path) }) }
  return told.message === message && told.path === path ? error : new ProblemError({ ...rest, ...told })
}

export type TimeLimit = {
  readonly timeoutSeconds: number
  readonly clock: Clock
  /** What a call that took longer fails with. */
  readonly timedOut: () => ProblemError
}

/**
 * Runs tool code within a time limit and the context's signal: what ignores both is not waited for.
 * @throws what the code throws without the values of secrets, the limit's problem, or the signal's reason
 */
export async function withinLimit<T>(
  context: ToolCallContext,
  { timeoutSeconds, clock, timedOut }: TimeLimit,
  work: (context: ToolCallContext) => Promise<T>,
): Promise<T> {
  const link = linkedTo(context.signal)
  const timer = clock.timer(timeoutSeconds * 1000, () => link.abort(timedOut()))
  try {
    return await abandonOnAbort(work({ ...context, signal: link.signal }), link.signal)
  } catch (error) {
    throw link.signal.aborted ? link.signal.reason : withoutSecrets(error, context)
  } finally {
    timer.cancel()
    link.release()
  }
}

import { type Problem, ProblemError, type Reason } from '../../../../api/reason.ts'
import { CodeRefused, ImportFailure } from '../../modules/evaluate.ts'
import { messageOf } from '../../modules/thrown.ts'

/** Longest stack that is told. */
const MAX_STACK = 8_192

/** What went wrong, as it is told: positions in it are those of the code as it was evaluated. */
export type Failure = {
  readonly problem: Problem
  /** Stack of what was thrown. */
  readonly stack: string
  /** Import that it is about. */
  readonly imported?: { readonly from: string; readonly specifier: string }
  /** Module whose code V8 refused. */
  readonly refused?: string
}

/**
 * A failure of code that ran, whatever it threw and whatever it did to the language.
 * @param what was under way, such as `tool add failed`
 */
export function failureOf(error: unknown, reason: Reason, what: string, file?: string): Failure {
  const problem = (message: string): Problem => ({ reason, message, ...(file !== undefined && { file }) })
  try {
    if (error instanceof ProblemError) return { problem: error.problem, stack: stackOf(error.cause), ...about(error) }
    if (error instanceof CodeRefused) return { problem: problem(error.message), stack: '', refused: error.module.path }
    return { problem: problem(`${what}: ${messageOf(error)}`), stack: stackOf(error) }
  } catch {
    return { problem: problem(`${what}: what it threw cannot be shown`), stack: '' }
  }
}

const about = (error: ProblemError): Pick<Failure, 'imported'> =>
  error instanceof ImportFailure ? { imported: { from: error.from, specifier: error.specifier } } : {}

function stackOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.stack).slice(0, MAX_STACK) : ''
  } catch {
    // A getter of the code's own: then there is no stack to tell of.
    return ''
  }
}

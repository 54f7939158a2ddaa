import { inspect } from 'node:util'
import { ProblemError } from '../../../api/reason.ts'
import { moduleUrl } from './program.ts'

/** A place in a file of a bundle. */
export type Place = { readonly file: string; readonly line: number; readonly column: number }

/** Where in a bundle something was thrown, as far as its stack tells. */
export type Trace = (thrown: unknown) => Place | undefined

const MAX_MESSAGE = 2_000

/** What was thrown, in words; it may be no Error at all, and may refuse to be looked at. */
export function messageOf(thrown: unknown): string {
  return describe(thrown).slice(0, MAX_MESSAGE)
}

function describe(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 1 })
    return thrown.name === 'Error' || thrown instanceof ProblemError
      ? thrown.message
      : `${thrown.name}: ${thrown.message}`
  } catch {
    return 'something that cannot be shown'
  }
}

/** The frames of a stack that lie in a bundle, innermost first: places in the code as it was evaluated. */
export function* framesOf(bundle: string, thrown: unknown): Generator<Place> {
  const prefix = moduleUrl(bundle, '')
  for (const [, url = '', line, column] of stackOf(thrown).matchAll(/(midflight:\/\/\/[^\s():]+):(\d+):(\d+)/g)) {
    if (url.startsWith(prefix)) yield { file: url.slice(prefix.length), line: Number(line), column: Number(column) }
  }
}

/** `stack` may be anything, also a getter that throws: the value is tool code's. */
function stackOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.stack) : ''
  } catch {
    // Then there is no stack to tell of.
    return ''
  }
}

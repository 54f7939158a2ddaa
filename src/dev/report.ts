import { codeFrameColumns } from '@babel/code-frame'
import type { Problem } from '../api/index.ts'
import type { ChangeResult } from './changes.ts'
import { holdsInlineKey, holdsSecret } from './source/secrecy.ts'

/** A problem with the place in a file that shows it, where there is one. */
export type LocatedProblem = {
  readonly reason: Problem['reason']
  readonly message: string
  /** What it is about: `agent support`. */
  readonly what: string
  readonly place?: Place | undefined
}

export type Place = {
  readonly file: string
  readonly line: number
  readonly column: number
  /** What a code frame is cut from: the file's text, or a part of it, where the place is `within`. */
  readonly text?: string | undefined
  /** The place in `text`, where that is not the whole file. */
  readonly within?: { readonly file: string; readonly line: number; readonly column: number } | undefined
}

/** One reload, or one incident. */
export type Report = {
  readonly at: Date
  readonly what: string
  /** `failed`: nothing was changed, code that serves went wrong. */
  readonly result: ChangeResult | 'failed'
  /** How many times it happened; absent for once. */
  readonly count?: number | undefined
  /** From the moment the change was seen to the moment it served, or was refused; undefined for one without a cause. */
  readonly ms?: number | undefined
  readonly problem?: LocatedProblem | undefined
}

export type Style = { readonly color: boolean }

const COLORS = { red: 31, green: 32, yellow: 33, cyan: 36, gray: 90 } as const
export const paint = (text: string, color: keyof typeof COLORS, style: Style): string =>
  style.color ? `\u001b[${COLORS[color]}m${text}\u001b[0m` : text

const RESULT_COLORS = {
  loaded: 'green',
  reloaded: 'green',
  mended: 'green',
  rejected: 'red',
  failed: 'red',
  waiting: 'yellow',
  removed: 'cyan',
} as const

/** One line, and for what was refused or waits the reason, the place and the code: no line end after the last. */
export function formatReport({ at, what, result, count = 1, ms, problem }: Report, style: Style): string {
  const time = paint(at.toTimeString().slice(0, 8), 'gray', style)
  const took = ms === undefined ? '' : `  ${formatMs(ms)}`
  const times = count === 1 ? '' : `  ${count} times`
  const head = `${time}  ${what}  ${paint(result, RESULT_COLORS[result], style)}${took}${times}`
  return problem === undefined ? head : `${head}\n${formatProblem(problem, style)}`
}

const formatMs = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`

/** `Reason file:line:column: message` and a code frame. */
export function formatProblem({ reason, message, what, place }: LocatedProblem, style: Style): string {
  const inner = place?.within === undefined ? '' : ` (${formatPlace(place.within)})`
  const where = place === undefined ? what : `${formatPlace(place)}${inner}`
  const head = `  ${paint(reason, 'red', style)} ${where}: ${message}`
  const frame = place === undefined ? undefined : frameOf(place, style)
  return frame === undefined ? head : `${head}\n${frame.replaceAll(/^/gm, '  ')}`
}

const formatPlace = ({ file, line, column }: Pick<Place, 'file' | 'line' | 'column'>): string =>
  `${file}:${line}:${column}`

/** Longest line that is shown: a longer one is no help at a terminal. */
const MAX_LINE = 200

/**
 * Undefined for a place without text, outside it, or in lines too long to show. Text that may hold a Secret is not
 * shown, nor are lines with an API key in them.
 */
function frameOf(place: Place, { color }: Style): string | undefined {
  const { text } = place
  const { line, column } = place.within ?? place
  if (text === undefined || text === '' || holdsSecret(text)) return undefined
  const lines = text.split('\n')
  const around = lines.slice(Math.max(0, line - 3), line + 2)
  if (line > lines.length || around.some((each) => each.length > MAX_LINE)) return undefined
  if (holdsInlineKey(around.join('\n'))) return undefined
  return codeFrameColumns(
    text,
    { start: { line, column: column - 1 } },
    { linesAbove: 2, linesBelow: 2, highlightCode: color },
  )
}

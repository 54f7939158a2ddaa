import { hasColor, type Io, type Output } from '../io.ts'
import { printable, wrap } from './text.ts'

/** What a word says at a glance. */
export type Tone = 'good' | 'busy' | 'bad' | 'dim'

/** One cell: a text, which may have a tone. */
export type Cell = string | { readonly text: string; readonly tone: Tone | undefined }

export type Table = { readonly head: readonly string[]; readonly rows: readonly (readonly Cell[])[] }

/** Where a table goes: how wide it may be (undefined: as wide as it is) and whether tones are shown. */
export type Sheet = { readonly width: number | undefined; readonly isColored: boolean }

/** A terminal has a width and, unless NO_COLOR is set, colours; a file or pipe has neither. */
export const sheetOf = (output: Output, environment: Io['environment']): Sheet => ({
  width: output.isTTY === true ? output.columns : undefined,
  isColored: hasColor(output, environment),
})

const CODES: Readonly<Record<Tone, number>> = { good: 32, busy: 33, bad: 31, dim: 2 }

export const toned = (text: string, tone: Tone | undefined, { isColored }: Sheet): string =>
  isColored && tone !== undefined ? `\u001b[${CODES[tone]}m${text}\u001b[0m` : text

const GAP = '   '
/** A last column that is narrower than this is put below its row instead. */
const NARROW = 30
const INDENT = 4

const textOf = (cell: Cell | undefined): string => printable(typeof cell === 'object' ? cell.text : (cell ?? ''))
const toneOf = (cell: Cell | undefined): Tone | undefined => (typeof cell === 'object' ? cell.tone : undefined)

/**
 * Lines of a table, its columns as wide as what is in them. Where the width is known the last column is wrapped within
 * it, or stands below its row where there is no room beside.
 */
export function tableLines({ head, rows }: Table, sheet: Sheet): string[] {
  const last = head.length - 1
  const widths = head.map((name, index) => Math.max(name.length, ...rows.map((row) => textOf(row[index]).length)))
  const before = widths.slice(0, last).reduce((sum, width) => sum + width + GAP.length, 0)
  const room = sheet.width === undefined ? Number.POSITIVE_INFINITY : sheet.width - before
  const isBelow = room < Math.min(NARROW, widths[last] ?? 0)
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, index) => {
        const text = textOf(cell)
        const padding = index === cells.length - 1 ? '' : ' '.repeat((widths[index] ?? 0) - text.length)
        return toned(text, toneOf(cell), sheet) + padding
      })
      .join(GAP)
      .trimEnd()
  const below = (text: string): string[] =>
    text === '' ? [] : wrap(text, Math.max(20, (sheet.width ?? 80) - INDENT)).map((each) => ' '.repeat(INDENT) + each)
  const lines = rows.flatMap((row) => {
    const text = textOf(row[last])
    if (isBelow) return [line(row.slice(0, last)), ...below(text)]
    if (text.length <= room) return [line(row)]
    const [first = '', ...rest] = wrap(text, room)
    return [line([...row.slice(0, last), first]), ...rest.map((each) => ' '.repeat(before) + each)]
  })
  return [line(isBelow ? head.slice(0, last) : head), ...lines]
}

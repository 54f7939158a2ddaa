import type { Machine } from './machine.ts'
import { shown } from './numbers.ts'

/** What a figure was to reach. */
export type Target = {
  readonly what: string
  readonly unit: string
  readonly value: number
  readonly atMost?: number
  readonly atLeast?: number
}

export type Table = {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
  readonly note?: string
}

/** What a bench found: tables for people, `data` for whoever computes with it. */
export type Report = {
  readonly targets: readonly Target[]
  readonly tables: readonly Table[]
  readonly data: unknown
}

export type Result = Report & {
  readonly bench: string
  readonly measuredAt: string
  readonly machine: Machine
  readonly rounds: number
}

export const isMet = ({ value, atMost = Infinity, atLeast = -Infinity }: Target): boolean =>
  value <= atMost && value >= atLeast

const bound = ({ atMost, atLeast }: Target): string =>
  [...(atMost === undefined ? [] : [`≤ ${atMost}`]), ...(atLeast === undefined ? [] : [`≥ ${atLeast}`])].join(', ')

const row = (cells: readonly (string | number)[]): string =>
  `| ${cells.map((cell) => (typeof cell === 'number' ? shown(cell) : cell)).join(' | ')} |`

export function markdownTable({ title, columns, rows, note }: Table): string {
  const lines = [row(columns), row(columns.map(() => '---')), ...rows.map(row)]
  return [`**${title}**`, lines.join('\n'), ...(note === undefined ? [] : [note])].join('\n\n')
}

export function targetTable(targets: readonly Target[]): Table {
  const rows = targets.map((target) => {
    const value = `${shown(target.value)} ${target.unit}`.trim()
    return [target.what, `${bound(target)} ${target.unit}`.trim(), value, isMet(target) ? 'yes' : '**no**']
  })
  return { title: 'Targets', columns: ['what', 'target', 'measured', 'met'], rows }
}

export const machineText = ({ cores, cpu, memoryGiB, platform, node }: Machine): string =>
  `${cores} cores (${cpu}), ${memoryGiB} GiB, ${platform}, Node ${node}`

/** A result as Markdown. */
export function markdown({ targets, tables, machine, rounds, measuredAt }: Result): string {
  const head = `Measured ${measuredAt.slice(0, 10)}, ${rounds} interleaved rounds, on ${machineText(machine)}.`
  return [head, ...[targetTable(targets), ...tables].map(markdownTable)].join('\n\n')
}

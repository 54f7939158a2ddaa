import { median, spread } from '../../lib/numbers.ts'
import type { Report, Table, Target } from '../../lib/report.ts'
import type { Swap } from './swap.ts'

export type Finding = {
  readonly name: string
  readonly setting: string
  /** `isSame`: whether the same process answered before and after. */
  readonly rounds: (Swap & { readonly isSame: boolean })[][]
}

export const newFinding = ({ name, setting = '' }: { readonly name: string; readonly setting?: string }): Finding => ({
  name,
  setting,
  rounds: [],
})

/** What is asked for of each kind of change, in the order of the contenders. */
const BOUNDS: readonly { readonly p50: number; readonly p99?: number }[] = [
  { p50: 3, p99: 8 },
  { p50: 6, p99: 20 },
  { p50: 2.5 },
]

type Found = { readonly midflights: readonly Finding[]; readonly peers: readonly Finding[] }

export function swapsReport({ midflights, peers }: Found): Report {
  const figures = [...midflights, ...peers].map(figuresOf)
  return {
    targets: figures.slice(0, midflights.length).flatMap((figure, n) => targetsOf(figure, BOUNDS[n])),
    tables: [latencies(figures), losses(figures)],
    data: figures,
  }
}

function figuresOf({ name, setting, rounds }: Finding) {
  const all = rounds.flat()
  const served = rounds.map((round) => round.flatMap((swap) => swap.served ?? []))
  return {
    name,
    setting,
    swaps: all.length,
    ms: spread(served.flat()),
    afterRenameMs: spread(all.flatMap((swap) => swap.afterRename ?? [])),
    p50ByRound: served.filter((values) => values.length > 0).map(median),
    never: all.filter((swap) => swap.served === undefined).length,
    withDropped: all.filter((swap) => swap.dropped > 0).length,
    dropped: all.reduce((sum, swap) => sum + swap.dropped, 0),
    lost: all.filter((swap) => !swap.isSame).length,
    served,
  }
}
type Figures = ReturnType<typeof figuresOf>

function targetsOf({ name, ms, never, dropped, lost }: Figures, bounds: (typeof BOUNDS)[number] | undefined): Target[] {
  if (bounds === undefined) return []
  const { p50, p99 } = bounds
  const none = (what: string, value: number): Target => ({ what: `${name}: ${what}`, unit: '', value, atMost: 0 })
  return [
    { what: `${name}: swap → served, p50`, unit: 'ms', value: ms.p50, atMost: p50 },
    ...(p99 === undefined ? [] : [{ what: `${name}: swap → served, p99`, unit: 'ms', value: ms.p99, atMost: p99 }]),
    none('swaps that were not served', never),
    none('calls dropped, and restarts', dropped + lost),
  ]
}

const range = (values: readonly number[]): string =>
  values.length === 0 ? '-' : `${Math.min(...values).toFixed(1)}-${Math.max(...values).toFixed(1)}`

const nameOf = ({ name, setting }: Figures): string => (setting === '' ? name : `${name}: ${setting}`)

const latencies = (figures: readonly Figures[]): Table => ({
  title: 'From the start of a swap to the first answer that shows it, in ms',
  columns: ['', 'swaps', 'p50', 'p90', 'p99', 'max', 'p50 of rounds', 'p50 from the rename'],
  rows: figures.map((figure) => {
    const { swaps, never, ms, p50ByRound, afterRenameMs } = figure
    const count = never === 0 ? String(swaps) : `${swaps}, ${never} of them never`
    return [nameOf(figure), count, ms.p50, ms.p90, ms.p99, ms.max, range(p50ByRound), afterRenameMs.p50]
  }),
})

const losses = (figures: readonly Figures[]): Table => ({
  title: 'What those swaps cost the callers',
  columns: [
    '',
    'swaps',
    'with calls that were dropped',
    'calls dropped',
    'after which the state of the process was gone',
  ],
  rows: figures.map((figure) => [
    nameOf(figure),
    ...[figure.swaps, figure.withDropped, figure.dropped, figure.lost].map(String),
  ]),
  note: 'A call is dropped when it is not answered 200. One caller, one call at a time, 2 ms after one that was dropped.',
})

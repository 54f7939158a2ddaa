import { join } from 'node:path'
import { median, shown } from '../../bench/lib/numbers.ts'
import type { Table, Target } from '../../bench/lib/report.ts'
import type { Isolation } from '../../src/runtime/tools/index.ts'
import { spreadOf } from '../../test/soak/footprint.ts'
import type { ServingFigures } from '../../test/soak/serving/serving.ts'
import { BAD_KINDS } from '../../test/soak/versions.ts'
import { type Findings, none, type Part, type Settings } from './part.ts'

const MAIN = join(import.meta.dirname, '../../test/soak/serving/serving.main.ts')

type Sizes = { readonly requests: number; readonly swaps: number; readonly oneInBad: number; readonly rounds: number }

const FULL = { requests: 1_000_000, swaps: 10_000, oneInBad: 10, rounds: 10 } as const
const SHORT: Sizes = { requests: 1_000, swaps: 24, oneInBad: 3, rounds: 1 }

const sizesOf = ({ isShort, percent }: Settings): Sizes =>
  isShort ? SHORT : { ...FULL, requests: (FULL.requests * percent) / 100, swaps: (FULL.swaps * percent) / 100 }

/** How much longer the slowest call in a hundred may take while files are swapped. */
const SLOWER_PERCENT: Readonly<Record<Isolation, number>> = { none: 20, process: 100 }

/** A runtime that is called all the time while the files of its bundle are swapped. */
export const servingPart = (name: string, isolation: Isolation): Part => ({
  name,
  shows:
    isolation === 'none'
      ? '1,000,000 calls over 64 connections during 10,000 swaps, one in ten bad; tools in the thread that serves'
      : '1,000,000 calls over 64 connections during 10,000 swaps, one in ten bad; tools in processes of their own',
  command: async (settings) => {
    const { requests, swaps, oneInBad, rounds } = sizesOf(settings)
    const sizes = { requests, swaps, 'one-in-bad': oneInBad, rounds, seed: settings.seed }
    const args = Object.entries(sizes).flatMap(([key, value]) => [`--${key}`, String(value)])
    return [process.execPath, MAIN, '--isolation', isolation, ...args]
  },
  findings: (figures, settings) => findingsOf(name, figures as ServingFigures, sizesOf(settings)),
})

function findingsOf(name: string, figures: ServingFigures, { requests, swaps }: Sizes): Findings {
  const { faults, refused, looks, latency, missed, hostRestarts, isolation, examples } = figures
  const untried = BAD_KINDS.filter(([, reason]) => refused[reason] === undefined)
  const spread = spreadOf(looks.slice(1))
  const ratio = median(latency.map(({ baseline, swapping }) => (swapping.p99 / baseline.p99 - 1) * 100))
  const targets: Target[] = [
    { what: `${name}: calls during swaps`, unit: '', value: figures.requests, atLeast: requests },
    { what: `${name}: swaps`, unit: '', value: figures.swaps, atLeast: swaps },
    none(`${name}: calls that were dropped`, faults.dropped),
    none(`${name}: answers of a bad version`, faults.bad),
    none(`${name}: answers of a version left behind`, faults.older),
    none(`${name}: answers of several versions at once`, faults.mixed),
    none(`${name}: answers of no version`, faults.unreadable),
    none(`${name}: rounds whose last version did not serve`, missed),
    none(`${name}: kinds of bad versions that were never refused`, untried.length),
    none(`${name}: tool processes that died`, hostRestarts),
    ...(looks.length > 1
      ? [
          none(`${name}: most minus fewest descriptors`, spread.descriptors),
          none(`${name}: most minus fewest inotify watches`, spread.watches),
          none(`${name}: most minus fewest child processes`, spread.children),
        ]
      : []),
  ]
  const what = `${name}: p99 of a call during swaps, over the same without`
  const timings = [{ what, unit: '%', value: ratio, atMost: SLOWER_PERCENT[isolation] }]
  const missing = untried.map(([kind, reason]) => `no version that ${kind} was refused (${reason})`)
  return { targets, timings, tables: [tableOf(name, figures)], examples: [...examples, ...missing] }
}

function tableOf(name: string, figures: ServingFigures): Table {
  const { latency, lastServedMs, refused } = figures
  const p99 = (of: 'baseline' | 'swapping'): string => shown(median(latency.map((round) => round[of].p99)))
  const reasons = BAD_KINDS.map(([, reason]) => `${reason} ${shown(refused[reason] ?? 0)}`)
  return {
    title: `${name}: swaps under steady calls`,
    columns: [
      'calls',
      'swaps',
      'bad',
      'came to serve',
      'p99 without swaps, ms',
      'p99 during swaps, ms',
      'last served, ms',
    ],
    rows: [
      [
        shown(figures.requests),
        shown(figures.swaps),
        shown(figures.badSwaps),
        shown(figures.activated),
        p99('baseline'),
        p99('swapping'),
        shown(Math.max(...lastServedMs)),
      ],
    ],
    note:
      'A swap that is overtaken by the next one is not loaded. p99: median of the rounds, of calls that take no time of ' +
      `their own. Last served: longest time after a round until its last version served. Refused: ${reasons.join(', ')}.`,
  }
}

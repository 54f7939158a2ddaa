import { join } from 'node:path'
import { shown } from '../../bench/lib/numbers.ts'
import type { Isolation } from '../../src/runtime/tools/index.ts'
import { spreadOf } from '../../test/soak/footprint.ts'
import type { ReloadFigures } from '../../test/soak/reloads.ts'
import type { RuntimeFigures } from '../../test/soak/runtime/runtime.ts'
import { node24 } from './node-24.ts'
import { type Findings, FLAT_BYTES, none, type Part, type Settings } from './part.ts'

const SOAK = join(import.meta.dirname, '../../test/soak')
/** What the old generation of a heap may hold, in MiB. */
const HEAP_MIB = 48

/** Where a part gets the Node that it runs on: this one, or the oldest that is supported. */
export type OnNode = 24 | 26
const programOf = async (node: OnNode, say: (line: string) => void): Promise<string> =>
  node === 24 ? node24(say) : process.execPath

/** Reloads in a row in one thread, without a server around them. */
export const reloadsPart = (name: string, node: OnNode): Part => ({
  name,
  shows: `20,000 reloads of a tool of four files in a heap of ${HEAP_MIB} MB`,
  command: async (settings, say) => [
    await programOf(node, say),
    `--max-old-space-size=${HEAP_MIB}`,
    join(SOAK, 'reloads.main.ts'),
    String(reloadsOf(settings)),
  ],
  findings(figures, settings) {
    const { reloads, bytesPerReload, rssMiB, blocked, version } = figures as ReloadFigures
    return {
      targets: [
        { what: `${name}: reloads`, unit: '', value: reloads, atLeast: reloadsOf(settings) },
        { what: `${name}: growth of the live heap`, unit: 'bytes/reload', value: bytesPerReload, atMost: FLAT_BYTES },
      ],
      timings: [],
      tables: [
        {
          title: `${name}: reloads in a heap of ${HEAP_MIB} MB`,
          columns: ['Node', 'reloads', 'bytes/reload', 'resident MiB', 'one reload and call, ms: p50', 'p95', 'p99'],
          rows: [[version, shown(reloads), bytesPerReload, rssMiB, blocked.p50, blocked.p95, blocked.p99]],
        },
      ],
      examples: [],
    }
  },
})

const reloadsOf = ({ isShort }: Settings): number => (isShort ? 2_000 : 20_000)

export type RuntimePart = { readonly node: OnNode; readonly isolation: Isolation; readonly swaps: number }

/** As the events that are kept, and what few swaps leave unsettled; a host that stays behind is 20,000 bytes. */
const HOSTED_BYTES = 2 * FLAT_BYTES

/** A runtime that takes one swap after the other. */
export const runtimePart = (name: string, { node, isolation, swaps }: RuntimePart): Part => ({
  name,
  shows: `${shown(swaps)} swaps, one by one, of a runtime with a heap of ${HEAP_MIB} MB; what it holds stays the same`,
  command: async (settings, say) => {
    const program = await programOf(node, say)
    const sizes = ['--swaps', String(swapsOf(settings, swaps)), '--heap', String(HEAP_MIB)]
    const main = join(SOAK, 'runtime/runtime.main.ts')
    return [process.execPath, main, '--node', program, '--isolation', isolation, ...sizes]
  },
  findings: (figures, settings) => runtimeFindings(name, figures as RuntimeFigures, settings, swaps),
})

const SHORT_SWAPS = 40
const swapsOf = ({ isShort }: Settings, swaps: number): number => (isShort ? Math.min(SHORT_SWAPS, swaps) : swaps)

function runtimeFindings(name: string, figures: RuntimeFigures, settings: Settings, swaps: number): Findings {
  const { looks, heapBytesPerSwap, version } = figures
  const steady = looks.slice(Math.floor(looks.length / 4))
  const spread = spreadOf(steady)
  const last = looks.at(-1)
  const growth = { what: `${name}: growth of the live heap`, unit: 'bytes/swap', value: heapBytesPerSwap }
  return {
    targets: [
      { what: `${name}: swaps`, unit: '', value: figures.swaps, atLeast: swapsOf(settings, swaps) },
      // What is kept of the last thousand reloads on purpose is more than that until there were so many.
      ...(settings.isShort ? [] : [{ ...growth, atMost: figures.isolation === 'process' ? HOSTED_BYTES : FLAT_BYTES }]),
      none(`${name}: most minus fewest descriptors`, spread.descriptors),
      none(`${name}: most minus fewest inotify watches`, spread.watches),
      none(`${name}: most minus fewest child processes`, spread.children),
    ],
    timings: [],
    tables: [
      {
        title: `${name}: swaps in a heap of ${HEAP_MIB} MB`,
        columns: ['Node', 'swaps', 'live heap, MB', 'bytes/swap', 'descriptors', 'inotify watches', 'child processes'],
        rows: [
          [
            version,
            shown(figures.swaps),
            (last?.heapBytes ?? Number.NaN) / 1e6,
            heapBytesPerSwap,
            last?.descriptors ?? Number.NaN,
            last?.watches ?? Number.NaN,
            last?.children ?? Number.NaN,
          ],
        ],
        note: 'Garbage collected before each look; growth over the second half of the swaps.',
      },
    ],
    examples: [],
  }
}

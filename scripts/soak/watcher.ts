import { join } from 'node:path'
import { shown } from '../../bench/lib/numbers.ts'
import { spreadOf } from '../../test/soak/footprint.ts'
import type { WatcherFigures } from '../../test/soak/watcher.ts'
import { none, type Part, type Settings } from './part.ts'

const MAIN = join(import.meta.dirname, '../../test/soak/watcher.main.ts')

const sizesOf = ({ isShort }: Settings) =>
  isShort ? { swaps: 200, directories: 4, blocked: 500 } : { swaps: 10_000, directories: 8, blocked: 4_000 }

/** How late the last of many swaps may be seen, in milliseconds: a look a second, and what a busy machine adds. */
const LATEST_MS = 1_500

/** What Node keeps once a worker was there, such as the one that swaps. */
const WORKER_DESCRIPTORS = 1

/** What watches mounted directories, by itself. */
export const watcherPart = (name: string): Part => ({
  name,
  shows: '10,000 swaps of mounted directories in every rhythm; the event loop stands still for 4 s in the middle',
  command: async (settings) => {
    const sizes = Object.entries({ ...sizesOf(settings), seed: settings.seed })
    return [process.execPath, MAIN, ...sizes.flatMap(([key, value]) => [`--${key}`, String(value)])]
  },
  findings(figures, settings) {
    const { swaps, events, rounds, reached, before, after, ...found } = figures as WatcherFigures
    const spread = spreadOf([before, after])
    // Which rounds the rhythm makes is up to the seed: their swaps come close to what is asked for.
    const enough = sizesOf(settings).swaps * 0.9
    return {
      targets: [
        { what: `${name}: swaps`, unit: '', value: swaps, atLeast: enough },
        none(`${name}: rounds whose last version was never seen`, found.lost),
        none(`${name}: events that show several versions`, found.mixed),
        none(`${name}: events that show an older version`, found.stale),
        none(`${name}: events that tell of a directory that cannot be read`, found.failed),
        {
          what: `${name}: most minus fewest descriptors`,
          unit: '',
          value: spread.descriptors,
          atMost: WORKER_DESCRIPTORS,
        },
        none(`${name}: most minus fewest inotify watches`, spread.watches),
      ],
      timings: [
        { what: `${name}: last version seen, at the latest after`, unit: 'ms', value: reached.max, atMost: LATEST_MS },
      ],
      tables: [
        {
          title: `${name}: swaps of mounted directories`,
          columns: ['swaps', 'events', 'rounds', 'last seen, ms: p50', 'p99', 'max'],
          rows: [[shown(swaps), shown(events), shown(rounds), reached.p50, reached.p99, reached.max]],
          note: 'A reader that is slow gets the latest version only, so there are fewer events than swaps.',
        },
      ],
      examples: found.examples,
    }
  },
})

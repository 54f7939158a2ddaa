import { seededRandom } from '../../bench/lib/random.ts'
import type { Sources } from '../../src/runtime/files/bundle.fixture.ts'

/** What a thread that swaps directories is given. */
export type WriterTask = {
  readonly seed: number
  readonly directories: readonly string[]
  /** Rounds of each directory; the one in the middle goes on while the reader's event loop is blocked. */
  readonly rounds: number
  readonly swapsPerRound: number
  readonly swapsBlocked: number
  /** Of each directory the last version that was written: its swap is over. */
  readonly written: Int32Array
  /** 0 until the swaps of the round in the middle are over. */
  readonly floodOver: Int32Array
}

/** From the writer: the last version of a round was written, at so many milliseconds since 1970; or all are to flood. */
export type WriterMessage =
  | { readonly type: 'roundOver'; readonly index: number; readonly version: number; readonly at: number }
  | { readonly type: 'flooding' }

/** To the writer: a directory may go on, or all may. */
export type ReaderMessage = { readonly type: 'goOn'; readonly index: number }

/** Milliseconds since 1970, in fractions, by one clock for all threads. */
export const absoluteNow = (): number => performance.timeOrigin + performance.now()

/** The version of a directory: one to six files that all tell it; keys come and go, and some are of several pages. */
export function sourcesOf(seed: number, index: number, version: number): Sources {
  const random = seededRandom(seed * 1_000_003 + index * 100_003 + version)
  const keys = ['a', 'b', 'c', 'd', 'e'].filter(() => random() < 0.6)
  const text = () => `${version}\n${'.'.repeat(random() < 0.1 ? 20_000 : random() * 200)}\n`
  return Object.fromEntries(['always', ...keys].map((key) => [`${key}.md`, text()]))
}

/** The versions that the files of a directory tell, each once. */
export const versionsIn = (files: ReadonlyMap<string, Uint8Array>): number[] => [
  ...new Set([...files.values()].map((content) => Number.parseInt(Buffer.from(content).toString('latin1', 0, 12), 10))),
]

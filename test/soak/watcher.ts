import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { spread } from '../../bench/lib/numbers.ts'
import { seededRandom } from '../../bench/lib/random.ts'
import { bundleOf } from '../../src/api/index.ts'
import { type DirectoryEvent, watchDirectory } from '../../src/runtime/files/index.ts'
import { type Footprint, footprintAtRest } from './footprint.ts'
import { absoluteNow, type ReaderMessage, sourcesOf, versionsIn, type WriterMessage } from './watcher-swaps.ts'

export type WatcherOptions = {
  /** Swaps of all directories together, about. */
  readonly swaps: number
  readonly directories: number
  /** How long the event loop of the watcher stands still in the middle, at least. A quarter of the swaps come then. */
  readonly blockedMs: number
  readonly seed: number
  readonly say?: (line: string) => void
}

export type WatcherFigures = {
  readonly swaps: number
  readonly events: number
  /** Ends of rounds after which the last version was waited for. */
  readonly rounds: number
  /** From the end of a round, or of the block, until its last version was shown, in milliseconds. */
  readonly reached: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Events that showed files of several versions, or what was never written. */
  readonly mixed: number
  /** Events that showed an older version than an earlier event, or than what was written when the reader asked. */
  readonly stale: number
  /** Events that told that the directory cannot be read. */
  readonly failed: number
  /** Rounds whose last version was not shown within 10 s. */
  readonly lost: number
  readonly before: Footprint
  readonly after: Footprint
  /** What was wrong, in words: the first few. */
  readonly examples: readonly string[]
}

const SWAPS_PER_ROUND = 25
const EXAMPLES = 10
/** A round that has not been seen by then is lost; the next one begins. */
const LOST_MS = 10_000

/** Finds what is wrong with the events of one directory. */
function createJudge(seed: number, index: number) {
  let last = 0
  return {
    /** @param written the last version that was written when the reader asked for the event */
    judge(event: DirectoryEvent, written: number): { fault?: 'mixed' | 'stale' | 'failed'; version: number } {
      if (event.type === 'failed') return { fault: 'failed', version: last }
      const { files, hash } = event.bundle
      const versions = versionsIn(files)
      const version = versions[0] ?? 0
      const expected = version === 0 ? new Map() : filesOf(seed, index, version)
      if (versions.length > 1 || bundleOf('', expected).hash !== hash) return { fault: 'mixed', version }
      const isStale = version < last || version < written
      last = version
      return isStale ? { fault: 'stale', version } : { version }
    },
  }
}

const filesOf = (seed: number, index: number, version: number): ReadonlyMap<string, Uint8Array> =>
  new Map(Object.entries(sourcesOf(seed, index, version)).map(([path, text]) => [path, Buffer.from(text)]))

/** The rounds of one directory, as its reader sees them. */
function createRounds(reach: (ms: number) => void, lose: (version: number) => void, goOn: () => void) {
  let shown = { version: 0, at: 0 }
  let awaited: { version: number; at: number; timer: NodeJS.Timeout } | undefined
  const check = () => {
    if (awaited === undefined || shown.version !== awaited.version) return
    clearTimeout(awaited.timer)
    reach(Math.max(0, shown.at - awaited.at))
    awaited = undefined
    goOn()
  }
  return {
    shows(version: number) {
      shown = { version, at: absoluteNow() }
      check()
    },
    over(version: number, at: number) {
      const lost = () => {
        awaited = undefined
        lose(version)
        goOn()
      }
      awaited = { version, at, timer: setTimeout(lost, LOST_MS) }
      check()
    },
  }
}

/**
 * Swaps mounted directories in a thread of its own, in every rhythm, and watches them: the last version must be reached,
 * and no event may show anything but one version that was written.
 */
export async function soakWatcher(options: WatcherOptions): Promise<WatcherFigures> {
  const { seed, blockedMs, say = () => undefined } = options
  const home = await mkdtemp(join(tmpdir(), 'midflight-swaps-'))
  const directories = await Promise.all(Array.from({ length: options.directories }, () => mkdtemp(join(home, 'm'))))
  const written = new Int32Array(new SharedArrayBuffer(4 * directories.length))
  const floodOver = new Int32Array(new SharedArrayBuffer(4))
  const each = options.swaps / directories.length
  const rounds = Math.max(2, Math.round((each * 0.75) / SWAPS_PER_ROUND))
  const found = { mixed: 0, stale: 0, failed: 0, lost: 0, events: 0 }
  const examples: string[] = []
  const reached: number[] = []
  const fault = (kind: 'mixed' | 'stale' | 'failed' | 'lost', what: string) => {
    found[kind] += 1
    if (examples.length < EXAMPLES) examples.push(`${kind}: ${what}`)
  }
  const end = new AbortController()
  const followed = directories.map((_, index) => {
    const goOn = () => worker?.postMessage({ type: 'goOn', index } satisfies ReaderMessage)
    const lose = (version: number) => fault('lost', `directory ${index}, version ${version}`)
    return createRounds((ms) => reached.push(ms), lose, goOn)
  })
  const follow = async (directory: string, index: number) => {
    const { judge } = createJudge(seed, index)
    const random = seededRandom(seed + index)
    const events = watchDirectory(directory, end.signal)
    for (;;) {
      const asked = Atomics.load(written, index)
      const { value: event, done } = await events.next()
      if (done === true) return
      found.events += 1
      const { fault: kind, version } = judge(event, asked)
      if (kind !== undefined) fault(kind, `directory ${index}, version ${version}, asked at ${asked}: ${told(event)}`)
      followed[index]?.shows(version)
      // A slow reader gets the latest only.
      if (index % 2 === 1) await sleep(random() * 20)
    }
  }
  const readers = directories.map(follow)
  const before = await footprintAtRest(process.pid)
  const task = { seed, directories, rounds, swapsPerRound: SWAPS_PER_ROUND, written, floodOver }
  const worker = new Worker(new URL('./watcher-writer.ts', import.meta.url), {
    workerData: { ...task, swapsBlocked: Math.round(each / 4) },
  })
  let unblockedAt = 0
  worker.on('message', (message: WriterMessage) => {
    if (message.type === 'roundOver') {
      followed[message.index]?.over(message.version, Math.max(message.at, unblockedAt))
      return
    }
    say(`watcher: ${reached.length} rounds, now the event loop is blocked`)
    const until = performance.now() + blockedMs
    Atomics.wait(floodOver, 0, 0)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, until - performance.now()))
    unblockedAt = absoluteNow()
  })
  await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))
  const after = await footprintAtRest(process.pid)
  end.abort()
  await Promise.all(readers)
  await rm(home, { recursive: true })
  const { p50, p99, max } = spread(reached)
  const swaps = written.reduce((sum, version) => sum + version, 0)
  return { ...found, swaps, rounds: reached.length + found.lost, reached: { p50, p99, max }, before, after, examples }
}

const told = (event: DirectoryEvent): string =>
  event.type === 'failed'
    ? event.problem.message
    : [...event.bundle.files].map(([path, content]) => `${path} ${versionsIn(new Map([[path, content]]))}`).join(', ')

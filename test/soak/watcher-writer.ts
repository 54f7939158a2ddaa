import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { seededRandom } from '../../bench/lib/random.ts'
import { createAtomicWriter } from '../../src/runtime/files/atomic-writer.fixture.ts'
import { absoluteNow, type ReaderMessage, sourcesOf, type WriterMessage, type WriterTask } from './watcher-swaps.ts'

/** Milliseconds to wait after a swap, in each kind of round: steady, in bursts, in twos, and without a pause. */
const PACES: readonly ((random: () => number, swap: number) => number)[] = [
  (random) => random() * 50,
  (_random, swap) => (swap % 5 === 4 ? 50 : 0),
  (random, swap) => (swap % 2 === 1 ? random() * 50 : 0),
  () => 0,
]

const task = workerData as WriterTask
const tell = (message: WriterMessage) => parentPort?.postMessage(message)
const waiting = new Map<number, () => void>()
parentPort?.on('message', ({ index }: ReaderMessage) => waiting.get(index)?.())

function createSwapper(directory: string, index: number) {
  const writer = createAtomicWriter(directory)
  let version = 0
  return {
    async swap() {
      version += 1
      await writer.write(sourcesOf(task.seed, index, version))
      Atomics.store(task.written, index, version)
    },
    /** Resolves when the reader has seen the last version. */
    async endRound() {
      const { promise, resolve } = Promise.withResolvers<void>()
      waiting.set(index, resolve)
      tell({ type: 'roundOver', index, version, at: absoluteNow() })
      await promise
    },
  }
}

const swappers = task.directories.map(createSwapper)

async function rounds(index: number, count: number): Promise<void> {
  const random = seededRandom(task.seed * 7919 + index + count * 31)
  const swapper = swappers[index]
  for (let round = 0; round < count; round += 1) {
    const pace = PACES[Math.floor(random() * PACES.length)]
    for (let number = 0; number < task.swapsPerRound; number += 1) {
      await swapper?.swap()
      const pause = pace?.(random, number) ?? 0
      if (pause > 0 && number < task.swapsPerRound - 1) await sleep(pause)
    }
    await swapper?.endRound()
  }
}

const half = Math.floor(task.rounds / 2)
await Promise.all(swappers.map((_, index) => rounds(index, half)))
tell({ type: 'flooding' })
await Promise.all(
  swappers.map(async ({ swap }) => {
    for (let number = 0; number < task.swapsBlocked; number += 1) await swap()
  }),
)
const ends = swappers.map(({ endRound }) => endRound())
Atomics.store(task.floodOver, 0, 1)
Atomics.notify(task.floodOver, 0)
await Promise.all(ends)
await Promise.all(swappers.map((_, index) => rounds(index, task.rounds - half)))
parentPort?.close()

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAtomicWriter } from './atomic-writer.fixture.ts'
import { watchDirectory } from './directory-source.ts'
import { createDirectoryWatch } from './watch.ts'

/** What `node inotify-limit.fixture.ts LIMIT` prints as JSON: first without inotify, then when it is there again. */
export type LimitFigures = Record<'without' | 'again', { readonly watches: number; readonly swapToEventMs: number }>

/** How many files and directories this process watches. */
export async function inotifyWatches(): Promise<number> {
  let watches = 0
  for (const fd of await readdir('/proc/self/fdinfo')) {
    const info = await readFile(join('/proc/self/fdinfo', fd), 'utf8').catch(() => '')
    watches += info.match(/^inotify /gm)?.length ?? 0
  }
  return watches
}

/** To be run in a user namespace of its own, whose `limit` (a file of /proc/sys/user) is 0 and is raised on the way. */
async function swapsWithin(limit: string): Promise<LimitFigures> {
  const home = await mkdtemp(join(tmpdir(), 'midflight-limit-'))
  const writer = createAtomicWriter(home)
  const end = new AbortController()
  const waiting = new Map<string, () => void>()
  const reading = (async () => {
    const createWatch = (notify: () => void) => createDirectoryWatch(notify, { retryMs: 100 })
    for await (const event of watchDirectory(home, end.signal, { createWatch }))
      if (event.type === 'files') waiting.get(Buffer.from(event.bundle.files.get('a') ?? '').toString())?.()
  })()
  const swap = async (text: string) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    waiting.set(text, resolve)
    const watches = await inotifyWatches()
    await writer.write({ a: text })
    const begun = performance.now()
    await promise
    return { watches, swapToEventMs: performance.now() - begun }
  }
  await swap('first')
  // A watch that has just begun looks once more.
  await sleep(200)
  const without = await swap('without')
  await writeFile(join('/proc/sys/user', limit), '1000')
  while ((await inotifyWatches()) === 0) await sleep(20)
  await sleep(200)
  const again = await swap('again')
  end.abort()
  await reading
  await rm(home, { recursive: true })
  return { without, again }
}

if (process.argv[1] === import.meta.filename) {
  const figures = await swapsWithin(process.argv[2] ?? '')
  process.stdout.write(JSON.stringify(figures))
}

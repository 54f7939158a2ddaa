import { execFile, spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from '@jest/globals'
import { createAtomicWriter } from './atomic-writer.fixture.ts'
import { directoryWith } from './bundle.fixture.ts'
import { type WatchOptions, watchDirectory } from './directory-source.ts'
import { inotifyWatches, type LimitFigures } from './inotify-limit.fixture.ts'
import type { DirectoryWatch } from './watch.ts'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

async function newDirectory(): Promise<string> {
  const { path, remove } = await directoryWith({})
  ends.push(remove)
  return path
}

/** Follows the file `a` of a directory. */
function following(path: string, options: WatchOptions = {}) {
  const aborter = new AbortController()
  let shown = ''
  let heard = Promise.withResolvers<void>()
  const reading = (async () => {
    for await (const event of watchDirectory(path, aborter.signal, options)) {
      shown = event.type === 'files' ? Buffer.from(event.bundle.files.get('a') ?? '').toString() : event.problem.reason
      heard.resolve()
      heard = Promise.withResolvers()
    }
  })()
  ends.push(async () => {
    aborter.abort()
    await reading
  })
  return {
    shown: () => shown,
    async until(text: string) {
      while (shown !== text) await heard.promise
    },
  }
}

/** Follows and never tells, as inotify on a file system that has none (gVisor, Kata's virtio-fs). */
const deaf = (): DirectoryWatch => ({ follow: () => undefined, close: async () => undefined })

describe('without events', () => {
  test('changes of plain directories and of mounts are found, and so is a directory that vanishes', async () => {
    const [plain, mounted, vanishing] = [await newDirectory(), await newDirectory(), await newDirectory()]
    const writer = createAtomicWriter(mounted)
    await Promise.all([
      writeFile(join(plain, 'a'), '1'),
      writer.write({ a: '1' }),
      writeFile(join(vanishing, 'a'), '1'),
    ])
    const followed = [plain, mounted, vanishing].map((path) => following(path, { createWatch: deaf }))
    await Promise.all(followed.map(({ until }) => until('1')))
    await Promise.all([writeFile(join(plain, 'a'), '2'), writer.write({ a: '2' }), rm(vanishing, { recursive: true })])
    const expected = ['2', '2', 'DirectoryNotFound']
    await Promise.all(followed.map(({ until }, index) => until(expected[index] ?? '')))
    expect(followed.map(({ shown }) => shown())).toEqual(expected)
  })
  const inNamespace = (script: string) => ['--user', '--map-root-user', 'sh', '-c', script]
  const canTry = spawnSync('unshare', inNamespace('echo 9 > /proc/sys/user/max_inotify_watches')).status === 0
  const testInNamespace = canTry ? test : test.skip
  testInNamespace(
    'for want of watches or instances a swap is found, and heard again when there are some',
    async () => {
      const program = join(import.meta.dirname, 'inotify-limit.fixture.ts')
      const figuresFor = async (limit: string): Promise<LimitFigures> => {
        const script = inNamespace(`echo 0 > /proc/sys/user/${limit} && exec "$0" "$@"`)
        const command = [...script, process.execPath, program, limit]
        const { stdout } = await promisify(execFile)('unshare', command, { timeout: 30_000 })
        return JSON.parse(stdout)
      }
      const found = await Promise.all(['max_inotify_watches', 'max_inotify_instances'].map(figuresFor))
      for (const { without, again } of found) {
        expect([without.watches, again.watches]).toEqual([0, 1])
        expect(without.swapToEventMs).toBeLessThan(5_000)
      }
    },
    30_000,
  )
})

/** A swap without giving way to the event loop. */
function swapSync(mount: string, text: string): void {
  const old = readlinkSync(join(mount, '..data'))
  const next = mkdtempSync(join(mount, '..2026_01_02_03_04_05.'))
  writeFileSync(join(next, 'a'), text)
  symlinkSync(next.slice(mount.length + 1), join(mount, '..data_tmp'))
  renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
  rmSync(join(mount, old), { recursive: true })
}

/** More events than the kernel keeps for one reader: what comes then is dropped. */
function overflow(directory: string): void {
  const most = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'))
  const [one, other] = [join(directory, '..one'), join(directory, '..other')]
  mkdirSync(one)
  for (let events = 0; events < most + 100; events += 4) {
    renameSync(one, other)
    renameSync(other, one)
  }
  rmSync(one, { recursive: true })
}

const testOnLinux = process.platform === 'linux' ? test : test.skip

describe('an overflow of events', () => {
  testOnLinux('that loses a swap does not lose its version', async () => {
    const path = await newDirectory()
    await createAtomicWriter(path).write({ a: '1' })
    const byEvents = following(path, { reconcileMs: 3_600_000 })
    const { until } = following(path)
    await Promise.all([byEvents.until('1'), until('1')])
    await new Promise((resolve) => setTimeout(resolve, 200))
    overflow(path)
    swapSync(path, '2')
    await until('2')
    expect(byEvents.shown()).toBe('1')
    swapSync(path, '3')
    await byEvents.until('3')
  })
})

describe('what the kernel keeps for a watch', () => {
  testOnLinux(
    'is the same after 100 swaps, and after 100 folders that came and went',
    async () => {
      const [mounted, plain] = [await newDirectory(), await newDirectory()]
      const writer = createAtomicWriter(mounted)
      await writer.write({ a: '0' })
      await writeFile(join(plain, 'a'), '0')
      const followed = [following(mounted), following(plain)]
      await Promise.all(followed.map(({ until }) => until('0')))
      await new Promise((resolve) => setTimeout(resolve, 200))
      const before = await inotifyWatches()
      for (let count = 1; count <= 100; count += 1) {
        await writer.write({ a: `${count}` })
        const folder = join(plain, `lib${count % 7}`)
        await mkdir(folder)
        await writeFile(join(folder, 'x'), `${count}`)
        await rm(folder, { recursive: true })
      }
      await writeFile(join(plain, 'a'), '100')
      await Promise.all(followed.map(({ until }) => until('100')))
      const end = performance.now() + 4_000
      while ((await inotifyWatches()) !== before && performance.now() < end)
        await new Promise((resolve) => setTimeout(resolve, 20))
      expect(await inotifyWatches()).toBe(before)
    },
    20_000,
  )
})

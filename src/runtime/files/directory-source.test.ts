import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { createAtomicWriter } from './atomic-writer.fixture.ts'
import { directoryWith, type Sources } from './bundle.fixture.ts'
import { type DirectoryEvent, type WatchOptions, watchDirectory } from './directory-source.ts'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

/** A watched directory; `until` resolves with the texts that it shows once they satisfy the condition. */
async function watched(sources: Sources) {
  const { path, remove } = await directoryWith(sources)
  return { path, ...watching(path, {}, remove) }
}

function watching(path: string, options: WatchOptions, remove: () => Promise<void>) {
  const aborter = new AbortController()
  const events: DirectoryEvent[] = []
  let heard = Promise.withResolvers<void>()
  const reading = (async () => {
    for await (const event of watchDirectory(path, aborter.signal, options)) {
      events.push(event)
      heard.resolve()
      heard = Promise.withResolvers<void>()
    }
  })()
  ends.push(async () => {
    aborter.abort()
    await reading
    await remove()
  })
  const until = async (holds: (event: DirectoryEvent) => boolean): Promise<DirectoryEvent> => {
    for (;;) {
      const last = events.at(-1)
      if (last !== undefined && holds(last)) return last
      await heard.promise
    }
  }
  return { events, until, reading, abort: () => aborter.abort() }
}

const textsOf = (event: DirectoryEvent) =>
  event.type === 'files'
    ? Object.fromEntries([...event.bundle.files].map(([name, content]) => [name, Buffer.from(content).toString()]))
    : { failed: event.problem.reason }
const shows = (texts: Record<string, string>) => (event: DirectoryEvent) =>
  JSON.stringify(Object.entries(textsOf(event)).sort()) === JSON.stringify(Object.entries(texts).sort())
const failsWith = (reason: string) => shows({ failed: reason })

async function saveByRename(path: string, text: string) {
  await writeFile(`${path}.tmp`, text)
  await rename(`${path}.tmp`, path)
}

describe('a plain directory', () => {
  test('is shown at once, and again after each kind of save', async () => {
    const { path, until } = await watched({ 'tools/a.ts': '1', 'b.md': 'b' })
    await until(shows({ 'tools/a.ts': '1', 'b.md': 'b' }))
    await writeFile(join(path, 'tools/a.ts'), 'in place')
    await until(shows({ 'tools/a.ts': 'in place', 'b.md': 'b' }))
    await saveByRename(join(path, 'tools/a.ts'), 'renamed')
    await until(shows({ 'tools/a.ts': 'renamed', 'b.md': 'b' }))
    await rename(join(path, 'b.md'), join(path, 'c.md'))
    await until(shows({ 'tools/a.ts': 'renamed', 'c.md': 'b' }))
    await rm(join(path, 'c.md'))
    await until(shows({ 'tools/a.ts': 'renamed' }))
    await mkdir(join(path, 'lib'))
    await writeFile(join(path, 'lib/new.ts'), 'new')
    await until(shows({ 'tools/a.ts': 'renamed', 'lib/new.ts': 'new' }))
    await writeFile(join(path, 'lib/new.ts'), 'newer')
    await until(shows({ 'tools/a.ts': 'renamed', 'lib/new.ts': 'newer' }))
  })
  test('says nothing when a file is touched but not changed', async () => {
    const { path, until, events } = await watched({ a: '1' })
    await until(shows({ a: '1' }))
    await utimes(join(path, 'a'), new Date(), new Date())
    await writeFile(join(path, 'a'), '1')
    await saveByRename(join(path, 'a'), '2')
    await until(shows({ a: '2' }))
    expect(events).toHaveLength(2)
  })
  test('says once why it is refused, and recovers', async () => {
    const { path, until, events } = await watched({ a: '1' })
    await until(shows({ a: '1' }))
    await writeFile(join(path, 'a.tool.ts'), new Uint8Array(20_000_000))
    await until(failsWith('FileTooLarge'))
    await saveByRename(join(path, 'a'), '2')
    await rm(join(path, 'a.tool.ts'))
    await until(shows({ a: '2' }))
    expect(events.map(({ type }) => type)).toEqual(['files', 'failed', 'files'])
  })
  test('may vanish, return and be replaced', async () => {
    const { path, until } = await watched({ a: '1' })
    await until(shows({ a: '1' }))
    await rm(path, { recursive: true })
    await until(failsWith('DirectoryNotFound'))
    await mkdir(path)
    await writeFile(join(path, 'a'), '2')
    await until(shows({ a: '2' }))
    await rename(path, `${path}-old`)
    await mkdir(path)
    await saveByRename(join(path, 'a'), '3')
    await until(shows({ a: '3' }))
    await saveByRename(join(path, 'a'), '4')
    await until(shows({ a: '4' }))
    await rm(`${path}-old`, { recursive: true })
  })
  test('may give way to a link that leads to itself, and return', async () => {
    const { path, until } = await watched({ a: '1' })
    await until(shows({ a: '1' }))
    await rename(path, `${path}-old`)
    await symlink(path, path)
    await until(failsWith('DirectoryNotFound'))
    await rm(path)
    await rename(`${path}-old`, path)
    await until(shows({ a: '1' }))
    await saveByRename(join(path, 'a'), '2')
    await until(shows({ a: '2' }))
  })
  test('may become a mount, and a plain directory again', async () => {
    const { path, until } = await watched({ a: '1' })
    await until(shows({ a: '1' }))
    await rm(join(path, 'a'))
    const writer = createAtomicWriter(path)
    await writer.write({ a: 'mounted' })
    await until(shows({ a: 'mounted' }))
    await writer.write({ a: 'swapped' })
    await until(shows({ a: 'swapped' }))
    await rm(path, { recursive: true })
    await mkdir(path)
    await writeFile(join(path, 'a'), 'plain')
    await until(shows({ a: 'plain' }))
  })
})

describe('a directory under another name', () => {
  /** Looks by itself come too late to bring a change in these tests. */
  const eventsOnly = { reconcileMs: 3_600_000 }
  const nothing = async () => {}
  /** A watch that has just started looks once more, which would hide that it hears nothing. */
  const isWatched = () => new Promise((resolve) => setTimeout(resolve, 100))

  test.each([
    ['a link', (path: string) => `${path}-link`],
    ['a path with a dot', (path: string) => `./${relative(process.cwd(), path)}/.`],
    ['a path with a slash at its end', (path: string) => `${path}/`],
  ])('is heard through %s', async (name, nameOf) => {
    const { path, remove } = await directoryWith({ 'tools/a.ts': '1' })
    if (name === 'a link') await symlink(path, `${path}-link`)
    const { until } = watching(nameOf(path), eventsOnly, async () => {
      await rm(`${path}-link`, { force: true })
      await remove()
    })
    await until(shows({ 'tools/a.ts': '1' }))
    await isWatched()
    await writeFile(join(path, 'tools/a.ts'), 'in place')
    await until(shows({ 'tools/a.ts': 'in place' }))
    await saveByRename(join(path, 'tools/a.ts'), 'renamed')
    await until(shows({ 'tools/a.ts': 'renamed' }))
  })
  test('is heard as the working directory', async () => {
    const { path, remove } = await directoryWith({ 'tools/a.ts': '1' })
    const before = process.cwd()
    process.chdir(path)
    try {
      const { until } = watching('./', eventsOnly, remove)
      await until(shows({ 'tools/a.ts': '1' }))
      await isWatched()
      await saveByRename(join(path, 'tools/a.ts'), '2')
      await until(shows({ 'tools/a.ts': '2' }))
    } finally {
      process.chdir(before)
    }
  })
  test('is a mount behind a link', async () => {
    const { path, remove } = await directoryWith({})
    const writer = createAtomicWriter(join(path, 'mount'))
    await writer.write({ a: '1' })
    await symlink(join(path, 'mount'), join(path, 'link'))
    const { until } = watching(join(path, 'link'), eventsOnly, remove)
    await until(shows({ a: '1' }))
    await isWatched()
    await writer.write({ a: '2' })
    await until(shows({ a: '2' }))
  })
  test('is another one when the link is re-pointed', async () => {
    const { path, remove } = await directoryWith({ 'one/a': '1', 'two/a': '2' })
    const link = join(path, 'link')
    await symlink(join(path, 'one'), link)
    const { until } = watching(link, { reconcileMs: 50 }, nothing)
    ends.push(remove)
    await until(shows({ a: '1' }))
    await symlink(join(path, 'two'), `${link}-new`)
    await rename(`${link}-new`, link)
    await until(shows({ a: '2' }))
    await saveByRename(join(path, 'two/a'), '3')
    await until(shows({ a: '3' }))
  })
})

describe('a mount', () => {
  test('reaches the last of 200 swaps, however fast they come, and the next one after that', async () => {
    const { path, until } = await watched({})
    const writer = createAtomicWriter(path)
    for (let version = 1; version <= 200; version += 1)
      await writer.write({ 'a.md': `${version}`, 'b.md': `${version}` })
    await until(shows({ 'a.md': '200', 'b.md': '200' }))
    await writer.write({ 'a.md': 'next' })
    await until(shows({ 'a.md': 'next' }))
  })
  test('shows each swap of two back to back, or the later one, and never a mix', async () => {
    const { path, until, events } = await watched({})
    const writer = createAtomicWriter(path)
    for (let version = 2; version <= 60; version += 2) {
      await writer.write({ a: `${version - 1}`, b: `${version - 1}` })
      await writer.write({ a: `${version}`, b: `${version}` })
      await until(shows({ a: `${version}`, b: `${version}` }))
    }
    for (const event of events) expect(new Set(Object.values(textsOf(event))).size).toBeLessThanOrEqual(1)
  })
})

describe('the source', () => {
  test('ends when its signal aborts, also before the first event', async () => {
    const { until, reading, abort } = await watched({ a: '1' })
    await until(shows({ a: '1' }))
    abort()
    await reading
    const aborted: DirectoryEvent[] = []
    for await (const event of watchDirectory('/nowhere', AbortSignal.abort())) aborted.push(event)
    expect(aborted).toEqual([])
  })
  test('waits for a directory that is created later', async () => {
    const { path, remove } = await directoryWith({})
    const aborter = new AbortController()
    const seen: string[] = []
    for await (const event of watchDirectory(join(path, 'later'), aborter.signal)) {
      seen.push(JSON.stringify(textsOf(event)))
      if (event.type === 'failed') {
        await mkdir(join(path, 'later'))
        await writeFile(join(path, 'later', 'a'), '1')
      } else if (event.bundle.files.size > 0) aborter.abort()
    }
    await remove()
    expect([seen[0], seen.at(-1)]).toEqual(['{"failed":"DirectoryNotFound"}', '{"a":"1"}'])
  })
  test('gives a slow reader the latest only', async () => {
    const { path, remove } = await directoryWith({ a: '0' })
    const aborter = new AbortController()
    const seen: string[] = []
    for await (const event of watchDirectory(path, aborter.signal)) {
      seen.push(String(textsOf(event).a))
      if (seen.length > 1) aborter.abort()
      for (let version = 1; version <= 20 && seen.length === 1; version += 1)
        await saveByRename(join(path, 'a'), `${version}`)
    }
    await remove()
    expect(seen).toEqual(['0', '20'])
  })
})

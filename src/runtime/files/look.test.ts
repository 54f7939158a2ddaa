import { appendFile, open, realpath, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createAtomicWriter } from './atomic-writer.fixture.ts'
import { directoryWith, type Sources } from './bundle.fixture.ts'
import { createLook, endsAs, sightChanges } from './look.ts'
import { listDirectory, readListed, shapeOf } from './read.ts'

const removals: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const remove of removals.splice(0)) await remove()
})

/** A directory that is looked at in virtual time. */
async function lookedAt(sources: Sources) {
  const { path, remove } = await directoryWith(sources)
  removals.push(remove)
  const look = createLook(path)
  let now = 0
  /** What a look shows after so many milliseconds; undefined while it waits. */
  const shownAfter = (ms: number) => {
    now += ms
    const found = look(shapeOf(path), now)
    if (found.type === 'resting') return undefined
    if (found.shown.type === 'failed') return { failed: found.shown.problem.reason }
    return Object.fromEntries([...found.shown.bundle.files].map(([name, content]) => [name, `${Buffer.from(content)}`]))
  }
  return { path, shownAfter }
}

describe('how long a changed file has to rest', () => {
  const stamp = (inode: number, version = 0, { moved = false, size = 100 } = {}) => ({
    key: `${inode}:${version}:${moved}:${size}`,
    inode,
    size,
    moved,
  })
  const known = new Map([['a', { stamp: stamp(1), content: new Uint8Array() }]])
  const restOf = (
    found: ReturnType<typeof stamp> | undefined,
    isWhole: boolean,
    earlier?: ReturnType<typeof stamp>,
    path = 'a',
  ) => {
    const listed = new Map(found === undefined ? [] : [[path, { location: path, stamp: found }]])
    const sightings = new Map(earlier === undefined ? [] : [[path, { stamp: earlier, since: 0, isWhole }]])
    const files = path === 'a' ? known : new Map()
    return sightChanges({ listed, known: files, sightings, now: 2, isWhole: () => isWhole }).restMs
  }
  test.each([
    ['none when it did not change', restOf(stamp(1), false), 0],
    ['none when it was moved into place', restOf(stamp(2, 0, { moved: true }), false), 0],
    ['none when another file has its name that ends as it did', restOf(stamp(2), true), 0],
    ['20 ms when another file has its name that may be half-written', restOf(stamp(2), false), 20],
    ['20 ms when it is new', restOf(stamp(2), true, undefined, 'new'), 20],
    ['20 ms when it was written in place', restOf(stamp(1, 1), false), 20],
    ['3 ms when it was written in place and ends as it did', restOf(stamp(1, 1), true), 3],
    ['the rest of 20 ms when that was seen 2 ms ago', restOf(stamp(1, 1), false, stamp(1, 1)), 18],
    ['20 ms anew when it grows', restOf(stamp(1, 2), false, stamp(1, 1)), 20],
    ['200 ms when it was emptied', restOf(stamp(1, 1, { size: 0 }), false), 200],
    ['20 ms when it is missing', restOf(undefined, false), 20],
  ])('is %s', (_sentence, found, expected) => {
    expect(found).toBe(expected)
  })
})

describe('the end of a file', () => {
  const old = 'function a() {\n  return 2\n}\nfunction b() {\n  return 2\n}\n'
  test.each([
    ['tells that it is whole after an edit before it', old.replace('a()', 'first()'), true],
    ['tells nothing when the edit is at the end', `${old}export { a }\n`, false],
    ['tells nothing when it is shorter than 4 bytes', '2\n}', false],
    ['tells nothing when it was in the file more than once: that may be the first one', old.slice(0, 28), false],
    ['tells nothing when the file is empty', '', false],
    ['tells nothing when it is in the file more than once now', `${old}${old}`, false],
  ])('%s', (_sentence, text, expected) => {
    expect(endsAs(Buffer.from(text), Buffer.from(old))).toBe(expected)
  })
  test('tells of no text that it is whole when it was cut off before an end that it has only there', () => {
    const line = fc.string({ minLength: 0, maxLength: 40 })
    const lines = fc.array(line, { minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(lines, lines, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (head, edit, share) => {
        const ending = 'the only last line of both\n'
        const before = Buffer.from(`${head.join('\n')}\n${ending}`)
        const whole = Buffer.from(`${edit.join('\n')}\n${ending}`)
        fc.pre(!`${head.join()}${edit.join()}`.includes('the only'))
        const cut = whole.subarray(0, Math.floor(whole.length * share))
        expect([endsAs(cut, before), endsAs(whole, before)]).toEqual([false, true])
      }),
      { seed: 20_261_122 },
    )
  })
})

/** Each begins to write a text into a file and hands back what writes on. */
const WRITERS = {
  'empties it first': async (path: string) => {
    const file = await open(path, 'w')
    return { write: (part: string) => file.appendFile(part), end: () => file.close() }
  },
  'makes it anew': async (path: string) => {
    await unlink(path)
    const file = await open(path, 'wx')
    return { write: (part: string) => file.appendFile(part), end: () => file.close() }
  },
  'opens it for each part, as a shell does with >>': async (path: string) => {
    await writeFile(path, '')
    return { write: (part: string) => appendFile(path, part), end: async () => undefined }
  },
} as const

describe('a file that is written in parts, 15 ms apart', () => {
  const OLD = `${Array.from({ length: 20 }, (_, n) => `old line ${n}`).join('\n')}\nthe end\n`
  test.each(Object.keys(WRITERS) as (keyof typeof WRITERS)[])(
    'is never read half-written by one who %s',
    async (kind) => {
      const parts = fc.array(fc.string({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 60 })
      const { path, shownAfter } = await lookedAt({ 'tools/a.ts': OLD })
      let serving = OLD
      await fc.assert(
        fc.asyncProperty(
          parts,
          fc.constantFrom('the end\n', 'another end\n'),
          fc.nat(14),
          async (head, last, early) => {
            expect(shownAfter(1000)).toEqual({ 'tools/a.ts': serving })
            const { write, end } = await WRITERS[kind](join(path, 'tools/a.ts'))
            const seen: unknown[] = [shownAfter(0)]
            for (const part of [...head, last]) {
              await write(part)
              seen.push(shownAfter(early), shownAfter(15 - early))
            }
            await end()
            const whole = `${head.join('')}${last}`
            for (const texts of seen) {
              expect([
                undefined,
                JSON.stringify({ 'tools/a.ts': serving }),
                JSON.stringify({ 'tools/a.ts': whole }),
              ]).toContain(texts && JSON.stringify(texts))
            }
            expect(shownAfter(20)).toEqual({ 'tools/a.ts': whole })
            serving = whole
          },
        ),
        { seed: 20_261_122, numRuns: 40 },
      )
    },
  )
  test('keeps what it was however long that takes, while others change', async () => {
    const { path, shownAfter } = await lookedAt({ log: 'old', 'tools/a.ts': '1' })
    expect(shownAfter(0)).toEqual({ log: 'old', 'tools/a.ts': '1' })
    await writeFile(join(path, 'tools/a.ts'), '2')
    for (let ms = 0; ms <= 600; ms += 15) {
      await appendFile(join(path, 'log'), `${ms}\n`)
      shownAfter(15)
    }
    expect(shownAfter(0)).toEqual({ log: 'old', 'tools/a.ts': '2' })
    expect(shownAfter(20)).toMatchObject({ log: expect.stringMatching(/^old0\n15\n.*600\n$/s) })
  })
})

describe('a save', () => {
  const OLD = 'line one\nline two\nthe end\n'
  const NEW = OLD.replace('two', 'two and more')
  test.each<[string, (file: string, folder: string) => Promise<unknown>]>([
    ['vim: the old file becomes a backup, the new one is written', (file) => vimSave(file, NEW)],
    ['JetBrains: a temporary file is moved over it', (file) => jetBrainsSave(file, NEW)],
    ['emacs: a lock that links to nowhere, a backup, and the file written', (file) => emacsSave(file, NEW)],
    ['sed -i: a temporary file is moved over it', (file, folder) => movedOver(file, join(folder, 'sedAbC123'), NEW)],
    ['VS Code and most scripts: written in place', (file) => writeFile(file, NEW)],
    ['git checkout: deleted and made anew', (file) => unlink(file).then(() => writeFile(file, NEW))],
  ])('shows the new file within 25 ms and no other one: %s', async (_editor, save) => {
    const { path, shownAfter } = await lookedAt({ 'tools/a.ts': OLD })
    expect(shownAfter(0)).toEqual({ 'tools/a.ts': OLD })
    await save(join(path, 'tools/a.ts'), join(path, 'tools'))
    const seen = Array.from({ length: 26 }, (_, ms) => shownAfter(ms === 0 ? 0 : 1))
    expect(seen.at(-1)).toEqual({ 'tools/a.ts': NEW })
    for (const texts of seen) expect([undefined, { 'tools/a.ts': NEW }]).toContainEqual(texts)
  })
  test('of many files, as git checks them out, shows each as it was or as it is', async () => {
    const many = (text: string) => Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`lib/f${n}.ts`, text]))
    const { path, shownAfter } = await lookedAt({ ...many(OLD), 'gone.md': OLD })
    const seen = [shownAfter(0)]
    await rm(join(path, 'gone.md'))
    for (const name of Object.keys(many(NEW))) {
      await rm(join(path, name))
      seen.push(shownAfter(1))
      await writeFile(join(path, name), NEW)
      seen.push(shownAfter(0))
    }
    expect(shownAfter(25)).toEqual(many(NEW))
    const texts = new Set(seen.flatMap((files) => Object.values(files ?? {})))
    expect([...texts].filter((text) => text !== OLD && text !== NEW)).toEqual([])
  })
  test('in place of another one of equal size, in the same tick of the clock, is read', async () => {
    const { path, shownAfter } = await lookedAt({ a: '' })
    for (let round = 0; round < 50; round += 1) {
      await writeFile(join(path, 'a'), `${1000 + round}`)
      shownAfter(20)
      await writeFile(join(path, 'a'), `${2000 + round}`)
      shownAfter(0)
      expect(shownAfter(20)).toEqual({ a: `${2000 + round}` })
    }
  })
})

async function movedOver(file: string, temporary: string, text: string) {
  await writeFile(temporary, text)
  await rename(temporary, file)
}

/** With `backupcopy=no` and `writebackup`; 4913 is how it finds out whether it may write there. */
async function vimSave(file: string, text: string) {
  const folder = join(file, '..')
  await writeFile(join(folder, '4913'), '')
  await unlink(join(folder, '4913'))
  await writeFile(join(folder, '.a.ts.swp'), 'swap')
  await rename(file, `${file}~`)
  await writeFile(file, text)
  await unlink(`${file}~`)
}

async function jetBrainsSave(file: string, text: string) {
  await writeFile(`${file}___jb_tmp___`, text)
  await rename(file, `${file}___jb_old___`)
  await rename(`${file}___jb_tmp___`, file)
  await unlink(`${file}___jb_old___`)
}

async function emacsSave(file: string, text: string) {
  await symlink('me@host.123:456', join(file, '../.#a.ts'))
  await writeFile(join(file, '../#a.ts#'), text)
  await rename(file, `${file}~`)
  await writeFile(file, text)
  await unlink(join(file, '../#a.ts#'))
  await unlink(join(file, '../.#a.ts'))
}

describe('a mount whose version is gone', () => {
  test('is waited for, told of after half a second, and shown again when there is one', async () => {
    const { path, shownAfter } = await lookedAt({})
    const writer = createAtomicWriter(path)
    await writer.write({ a: '1' })
    expect(shownAfter(0)).toEqual({ a: '1' })
    await rm(await realpath(join(path, '..data')), { recursive: true })
    expect([shownAfter(1), shownAfter(400)]).toEqual([undefined, undefined])
    expect(shownAfter(100)).toEqual({ failed: 'DirectoryNotFound' })
    await unlink(join(path, '..data'))
    await writer.write({ a: '2' })
    expect(shownAfter(1)).toEqual({ a: '2' })
  })
})

describe('content that was read', () => {
  test('is read again while its last write is so recent that another one would leave no trace', async () => {
    const { path, remove } = await directoryWith({ a: '1' })
    removals.push(remove)
    const read = () => readListed(listDirectory(path, 'plain'), new Map())?.get('a')?.isCertain
    expect(read()).toBe(false)
    await new Promise((resolve) => setTimeout(resolve, 25))
    expect(read()).toBe(true)
  })
  test('of a mount is not taken for that of another version, which has its inodes and, by a coarse clock, its times', async () => {
    const { path, shownAfter } = await lookedAt({})
    const writer = createAtomicWriter(path)
    for (let version = 100; version < 140; version += 2) {
      // Linux 6.13 and later give the second one times of its own, where nothing could be mistaken.
      await writer.write({ a: `${version}`, b: `${version}` })
      await writer.write({ a: `${version + 1}`, b: `${version + 1}` })
      expect(shownAfter(1)).toEqual({ a: `${version + 1}`, b: `${version + 1}` })
    }
  })
})

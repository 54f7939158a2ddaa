import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { createDirectorySource } from './directory-source.ts'
import type { SourceEvent } from './manifest-set.ts'

const agent = (name: string, role = 'helper') =>
  `apiVersion: midflight.dev/v1alpha1\nkind: Agent\nmetadata:\n  name: ${name}\nspec:\n  role: ${role}\n`

const show = (event: SourceEvent): string => {
  switch (event.type) {
    case 'BOOKMARK':
      return 'BOOKMARK'
    case 'FAILED':
      return `FAILED ${event.problems.map(({ reason }) => reason).join(' ')}`
    case 'RECOVERED':
    case 'REMOVED':
      return event.type
    default: {
      const { role } = (event.object.spec ?? {}) as { role?: string }
      return `${event.type} ${event.object.metadata.name}${role === undefined ? '' : ` ${role}`}`
    }
  }
}

describe('a directory source', () => {
  let dir: string
  let stop: AbortController
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'midflight-source-'))
    stop = new AbortController()
  })
  afterEach(async () => {
    stop.abort()
    await rm(dir, { recursive: true, force: true })
  })

  const start = (...roots: string[]) => {
    const source = createDirectorySource(roots)
    // The source closes its watcher when the signal aborts, also while nobody reads it.
    const iterator = source.events(stop.signal)[Symbol.asyncIterator]()
    const next = async (): Promise<SourceEvent> => {
      const { value, done } = await iterator.next()
      if (done === true) throw new Error('the source ended')
      return value
    }
    const upTo = async (last: string): Promise<string[]> => {
      const seen: string[] = []
      while (seen.at(-1) !== last) seen.push(show(await next()))
      return seen
    }
    return { source, iterator, next, upTo }
  }

  test('lists what is there, then says BOOKMARK, then changes', async () => {
    await writeFile(join(dir, 'b.yml'), agent('b'))
    await mkdir(join(dir, 'sub'))
    await writeFile(join(dir, 'sub', 'a.yaml'), agent('a'))
    const { upTo } = start(dir)
    expect(await upTo('BOOKMARK')).toEqual(['ADDED b helper', 'ADDED a helper', 'BOOKMARK'])
    await writeFile(join(dir, 'b.yml'), agent('b', 'changed'))
    expect(await upTo('MODIFIED b changed')).toHaveLength(1)
    await unlink(join(dir, 'sub', 'a.yaml'))
    expect(await upTo('DELETED a helper')).toHaveLength(1)
  })

  test('leaves kustomizations, bundle folders, node_modules and hidden folders alone', async () => {
    for (const folder of ['tools', 'prompts', 'extensions', 'node_modules', '.git']) {
      await mkdir(join(dir, folder))
      await writeFile(join(dir, folder, 'x.yaml'), 'not: [yaml')
    }
    await writeFile(join(dir, 'kustomization.yaml'), 'kind: Kustomization\n')
    await writeFile(join(dir, 'README.md'), 'kind: [')
    const { upTo } = start(dir)
    expect(await upTo('BOOKMARK')).toEqual(['BOOKMARK'])
  })

  test('keeps the objects of a file that no longer parses', async () => {
    await writeFile(join(dir, 'a.yaml'), agent('a'))
    const { upTo } = start(dir)
    await upTo('BOOKMARK')
    await writeFile(join(dir, 'a.yaml'), 'kind: [')
    expect(await upTo('FAILED InvalidYAML')).toEqual(['FAILED InvalidYAML'])
    await writeFile(join(dir, 'a.yaml'), agent('a', 'mended'))
    expect(await upTo('RECOVERED')).toEqual(['MODIFIED a mended', 'RECOVERED'])
  })

  test('keeps an object whose kind got a slip, and lets it go when the slip is mended otherwise', async () => {
    await writeFile(join(dir, 'a.yaml'), `${agent('a')}---\n${agent('b')}`)
    const { upTo } = start(dir)
    await upTo('BOOKMARK')
    await writeFile(join(dir, 'a.yaml'), `${agent('a').replace('Agent', 'Agnet')}---\n${agent('b', 'changed')}`)
    expect(await upTo('FAILED UnknownKind')).toEqual(['MODIFIED b changed', 'FAILED UnknownKind'])
    await writeFile(join(dir, 'a.yaml'), agent('b', 'changed'))
    expect(await upTo('DELETED a helper')).toEqual(['RECOVERED', 'DELETED a helper'])
  })

  test('takes the first of two objects of one name, and the second when the first goes', async () => {
    const other = await mkdtemp(join(tmpdir(), 'midflight-source-'))
    await writeFile(join(dir, 'z.yaml'), agent('a', 'first'))
    await writeFile(join(other, 'a.yaml'), agent('a', 'second'))
    const { source, next, upTo } = start(dir, other)
    expect(show(await next())).toBe('ADDED a first')
    const failed = await next()
    expect(failed).toMatchObject({
      type: 'FAILED',
      file: join(other, 'a.yaml'),
      problems: [{ reason: 'DuplicateName', line: 4, column: 9 }],
    })
    const message = failed.type === 'FAILED' ? failed.problems[0]?.message : ''
    expect(message).toContain(`${join(dir, 'z.yaml')}:4:9`)
    expect(message).toContain(`${join(other, 'a.yaml')}:4:9`)
    await upTo('BOOKMARK')
    expect(source.originOf('Agent', 'a')?.file).toBe(join(dir, 'z.yaml'))
    await unlink(join(dir, 'z.yaml'))
    expect(await upTo('RECOVERED')).toEqual(['MODIFIED a second', 'RECOVERED'])
    await rm(other, { recursive: true })
  })

  test('reads a file once that is in two roots', async () => {
    await mkdir(join(dir, 'sub'))
    await writeFile(join(dir, 'sub', 'a.yaml'), agent('a'))
    const { upTo } = start(dir, join(dir, 'sub'))
    expect(await upTo('BOOKMARK')).toEqual(['ADDED a helper', 'BOOKMARK'])
  })

  test('keeps what a directory held while it is away, and reads it again when it returns', async () => {
    const inner = join(dir, 'inner')
    await mkdir(inner)
    await writeFile(join(inner, 'a.yaml'), agent('a'))
    const { upTo } = start(inner)
    await upTo('BOOKMARK')
    await rename(inner, join(dir, 'away'))
    expect(await upTo('FAILED DirectoryNotFound')).toEqual(['FAILED DirectoryNotFound'])
    await writeFile(join(dir, 'away', 'a.yaml'), agent('a', 'changed'))
    await rename(join(dir, 'away'), inner)
    expect(await upTo('RECOVERED')).toEqual(['MODIFIED a changed', 'RECOVERED'])
  })

  test('keeps what a directory held while a file stands in its place', async () => {
    const inner = join(dir, 'inner')
    await mkdir(inner)
    await writeFile(join(inner, 'a.yaml'), agent('a'))
    const { upTo } = start(inner)
    await upTo('BOOKMARK')
    await rename(inner, join(dir, 'away'))
    await writeFile(inner, agent('other'))
    const failed = await upTo('FAILED DirectoryNotFound')
    expect(failed.every((event) => event === 'FAILED DirectoryNotFound')).toBe(true)
    await rm(inner)
    await writeFile(join(dir, 'away', 'a.yaml'), agent('a', 'changed'))
    await rename(join(dir, 'away'), inner)
    expect((await upTo('RECOVERED')).slice(-2)).toEqual(['MODIFIED a changed', 'RECOVERED'])
  })

  test('keeps what a file held that cannot be looked at, says so once, and serves the others', async () => {
    await writeFile(join(dir, 'a.yaml'), agent('a'))
    const { next, upTo } = start(dir)
    await upTo('BOOKMARK')
    await symlink('a.yaml', join(dir, 'loop'))
    await rename(join(dir, 'loop'), join(dir, 'a.yaml'))
    const failed = await next()
    expect(failed).toMatchObject({ type: 'FAILED', problems: [{ message: expect.stringContaining('ELOOP') }] })
    await writeFile(join(dir, 'b.yaml'), agent('b'))
    expect(await upTo('ADDED b helper')).toEqual(['ADDED b helper'])
    await rm(join(dir, 'a.yaml'))
    expect(await upTo('REMOVED')).toEqual(['DELETED a helper', 'REMOVED'])
  })

  test('tells all problems of a file whenever one came or went', async () => {
    const file = join(dir, 'a.yaml')
    await writeFile(file, 'kind: Agnet\n---\nkind: Taem\n')
    const { next, upTo } = start(dir)
    await upTo('BOOKMARK')
    await writeFile(file, 'kind: Agnet\n')
    const failed = await next()
    expect(failed.type === 'FAILED' && failed.problems.map(({ message }) => message)).toEqual([
      'unknown kind "Agnet"; did you mean Agent?',
    ])
  })

  test('takes an object from the file that it moved to, also while its old file has a problem', async () => {
    await writeFile(join(dir, 'a.yaml'), `${agent('a')}---\n${agent('moved')}`)
    const { upTo } = start(dir)
    await upTo('BOOKMARK')
    await writeFile(join(dir, 'a.yaml'), `${agent('a')}  oops: [\n`)
    await upTo('FAILED InvalidYAML')
    await writeFile(join(dir, 'b.yaml'), agent('moved', 'new'))
    expect(await upTo('MODIFIED moved new')).toEqual(['MODIFIED moved new'])
  })

  test('lets go what a file written in place in two parts only lacked for a moment', async () => {
    const file = join(dir, 'a.yaml')
    await writeFile(file, `${agent('a')}---\n${agent('b')}`)
    const { upTo } = start(dir)
    await upTo('BOOKMARK')
    await writeFile(file, agent('a', 'changed'))
    expect(await upTo('MODIFIED a changed')).toHaveLength(1)
    await writeFile(file, `${agent('a', 'changed')}---\n${agent('b', 'changed')}`)
    expect(await upTo('MODIFIED b changed')).toEqual(['MODIFIED b changed'])
    await writeFile(file, agent('b', 'changed'))
    expect(await upTo('DELETED a changed')).toEqual(['DELETED a changed'])
  })

  test('says REMOVED when a file that had a problem is deleted', async () => {
    await writeFile(join(dir, 'a.yaml'), 'kind: Agnet\n')
    const { upTo } = start(dir)
    await upTo('BOOKMARK')
    await unlink(join(dir, 'a.yaml'))
    expect(await upTo('REMOVED')).toEqual(['REMOVED'])
  })

  test.each(['a path with a slash at its end', 'a link to a directory', 'a relative path'])(
    'hears of changes under %s at once',
    async (what) => {
      const real = join(dir, 'real')
      await mkdir(real)
      await symlink('real', join(dir, 'link'))
      const roots = [`${real}/`, join(dir, 'link'), `./${relative(process.cwd(), real)}`]
      const { upTo } = start(
        roots[['a path with', 'a link', 'a relative'].findIndex((each) => what.startsWith(each))] ?? '',
      )
      await upTo('BOOKMARK')
      await setTimeout(300)
      const took: number[] = []
      for (let index = 0; index < 3; index++) {
        const started = performance.now()
        await writeFile(join(real, `${index}.yaml`), agent(`a${index}`))
        await upTo(`ADDED a${index} helper`)
        took.push(performance.now() - started)
      }
      // The look once a second would need that long for the second and third.
      expect(took.reduce((sum, each) => sum + each)).toBeLessThan(900)
    },
  )

  test('takes an editor’s save by rename as one change', async () => {
    await writeFile(join(dir, 'a.yaml'), agent('a'))
    const { upTo } = start(dir)
    await upTo('BOOKMARK')
    await rename(join(dir, 'a.yaml'), join(dir, 'a.yaml~'))
    await writeFile(join(dir, 'a.yaml'), agent('a', 'saved'))
    expect(await upTo('MODIFIED a saved')).toEqual(['MODIFIED a saved'])
  })

  test('follows links to files, as a mounted ConfigMap has them', async () => {
    await mkdir(join(dir, '..v1'))
    await mkdir(join(dir, '..v2'))
    await writeFile(join(dir, '..v1', 'a.yaml'), agent('a', 'one'))
    await writeFile(join(dir, '..v2', 'a.yaml'), agent('a', 'two'))
    await symlink('..v1', join(dir, '..data'))
    await symlink('..data/a.yaml', join(dir, 'a.yaml'))
    const { upTo } = start(dir)
    expect(await upTo('BOOKMARK')).toEqual(['ADDED a one', 'BOOKMARK'])
    await symlink('..v2', join(dir, '..tmp'))
    await rename(join(dir, '..tmp'), join(dir, '..data'))
    expect(await upTo('MODIFIED a two')).toHaveLength(1)
  })

  test('refuses what is no text and what is too large, and goes on', async () => {
    await writeFile(join(dir, 'a.yaml'), Buffer.from([0xff, 0xfe, 0x00]))
    await writeFile(join(dir, 'b.yaml'), `# ${'x'.repeat(4 * 1024 * 1024)}\n`)
    await writeFile(join(dir, 'c.yaml'), agent('c'))
    const { upTo } = start(dir)
    expect(await upTo('BOOKMARK')).toEqual(['ADDED c helper', 'FAILED FileNotText', 'FAILED FileTooLarge', 'BOOKMARK'])
  })

  test('says nothing for a save that changes nothing', async () => {
    await writeFile(join(dir, 'a.yaml'), agent('a'))
    const { upTo } = start(dir)
    await upTo('BOOKMARK')
    await writeFile(join(dir, 'a.yaml'), `# only a comment\n${agent('a')}`)
    await writeFile(join(dir, 'b.yaml'), agent('b'))
    expect(await upTo('ADDED b helper')).toEqual(['ADDED b helper'])
  })

  test('reads a single file', async () => {
    await writeFile(join(dir, 'a.yaml'), agent('a'))
    await writeFile(join(dir, 'b.yaml'), agent('b'))
    const { upTo } = start(join(dir, 'b.yaml'))
    expect(await upTo('BOOKMARK')).toEqual(['ADDED b helper', 'BOOKMARK'])
  })

  test('ends when the signal aborts', async () => {
    const { iterator, upTo } = start(dir)
    await upTo('BOOKMARK')
    const end = iterator.next()
    stop.abort()
    expect(await end).toEqual({ done: true, value: undefined })
  })
})

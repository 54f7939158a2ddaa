import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { createAtomicWriter } from './atomic-writer.fixture.ts'
import { MAX_FILE_BYTES } from './bounds.ts'
import { directoryWith, problemFrom, type Sources } from './bundle.fixture.ts'
import { listDirectory, readDirectory, readListed } from './read.ts'

const removals: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const remove of removals.splice(0)) await remove()
})
async function directory(sources: Sources): Promise<string> {
  const { path, remove } = await directoryWith(sources)
  removals.push(remove)
  return path
}
const pathsIn = (path: string) => [...readDirectory(path).files.keys()].sort()

function manyFiles(folder: string, count: number): Sources {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [join(folder, `f${i}.txt`), '']))
}
function largeFiles(folder: string, count: number): Sources {
  const content = new Uint8Array(MAX_FILE_BYTES)
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [join(folder, `f${i}.bin`), content]))
}

describe('a plain directory', () => {
  test('is read with its subfolders', async () => {
    const path = await directory({ 'tools/a.ts': 'A', 'lib/deep/b.ts': 'B', 'c.md': 'C' })
    const { files } = readDirectory(path)
    expect([...files].map(([name, content]) => [name, Buffer.from(content).toString()]).sort()).toEqual([
      ['c.md', 'C'],
      ['lib/deep/b.ts', 'B'],
      ['tools/a.ts', 'A'],
    ])
  })
  test('leaves out dotfiles, node_modules, editors’ leftovers and manifests outside the role folders', async () => {
    const skipped = [
      '.env',
      '.git/config',
      'node_modules/x/index.js',
      'a.ts~',
      '.a.ts.swp',
      'a.ts.swp',
      '4913',
      '#a.ts#',
      'a.tmp',
      'a.ts.tmp.12',
      'agents.yaml',
      'k/x.yml',
    ]
    const kept = ['prompts/x.yaml', 'tools/x.yml', 'a.ts', 'package.json']
    const path = await directory(Object.fromEntries([...skipped, ...kept].map((name) => [name, name])))
    expect(pathsIn(path)).toEqual(kept.sort())
  })
  test('follows links within itself, and none that leads out or nowhere', async () => {
    const outside = await directory({ 'secret.txt': 's', 'd/x.txt': 'x' })
    const path = await directory({ 'a.md': 'A' })
    await symlink('a.md', join(path, 'inside.md'))
    await symlink(join(outside, 'secret.txt'), join(path, 'out.md'))
    await symlink(join(outside, 'd'), join(path, 'out'))
    await symlink('gone', join(path, 'gone.md'))
    expect(pathsIn(path)).toEqual(['a.md', 'inside.md'])
  })
  test.each<[Sources, string, string]>([
    [{ 'prompts/a b.md': '' }, 'InvalidFileName', 'prompts/a b.md'],
    [{ 'tools/__proto__/x.md': '' }, 'InvalidFileName', 'tools/__proto__/x.md'],
    [{ 'tools/big.ts': new Uint8Array(20_000_000) }, 'FileTooLarge', 'tools/big.ts'],
    [{ 'prompts/big.md': new Uint8Array(20_000_000) }, 'FileTooLarge', 'prompts/big.md'],
    [{ 'data/big.tool.ts': new Uint8Array(20_000_000) }, 'FileTooLarge', 'data/big.tool.ts'],
  ])('is refused for a file with a role that breaks a bound (%#)', async (sources, reason, file) => {
    const path = await directory(sources)
    expect(await problemFrom(() => readDirectory(path))).toMatchObject({ reason, file })
  })
  test('is refused with more than 8 MiB or 1,000 files, naming file and bound', async () => {
    const large = Object.fromEntries(
      Array.from({ length: 9 }, (_, i) => [`prompts/f${i}`, new Uint8Array(MAX_FILE_BYTES)]),
    )
    const largeProblem = await problemFrom(() => readFresh(large))
    expect(largeProblem).toMatchObject({
      reason: 'BundleTooLarge',
      file: 'prompts/f8',
      message: expect.stringContaining('8388608'),
    })
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`prompts/f${i}`, '']))
    expect(await problemFrom(() => readFresh(many))).toMatchObject({
      reason: 'BundleTooLarge',
      message: expect.stringContaining('1000'),
    })
  })
  test.each<[string, Sources, string]>([
    ['a name that breaks the rules', { 'my notes.txt': 'x' }, 'left out "my notes.txt": the name may hold letters'],
    [
      'a file that is too large',
      { 'pic.png': new Uint8Array(2_000_000) },
      'left out "pic.png": a file may have at most',
    ],
    ['a folder of too many files', manyFiles('data', 1100), 'left out "data/": a bundle may have at most 1000 files'],
    ['more loose files than fit', manyFiles('', 1100), 'left out "f999.txt", "f998.txt", "f997.txt" and 99 more: a'],
    ['a folder that is too large', largeFiles('data/deep', 9), 'left out "data/": a bundle may have at most 8388608'],
  ])('leaves out helpers with a warning: %s', async (_sentence, strays, warning) => {
    const path = await directory({ 'tools/a.ts': 'A', 'lib/b.ts': 'B', ...strays })
    const { files, warnings } = readDirectory(path)
    expect([...files.keys()]).toEqual(expect.arrayContaining(['tools/a.ts', 'lib/b.ts']))
    expect(warnings).toEqual([expect.stringContaining(warning)])
    expect(files.size).toBeLessThanOrEqual(1000)
  })
  test('keeps the tools that are in a folder whose other files are left out', async () => {
    const path = await directory({ ...manyFiles('data', 1100), 'data/z.tool.ts': 'Z' })
    expect(pathsIn(path)).toEqual(['data/z.tool.ts'])
  })
  test('holds no FIFO, socket, device or link in a circle, and waits for none', async () => {
    const path = await directory({ 'a.md': 'A' })
    execFileSync('mkfifo', [join(path, 'tools.tool.ts')])
    const server = createServer().listen(join(path, 'socket.md'))
    await once(server, 'listening')
    await symlink('/dev/zero', join(path, 'zero.md'))
    await symlink('circle.md', join(path, 'circle.md'))
    await symlink('.', join(path, 'itself'))
    expect(pathsIn(path)).toEqual(['a.md'])
    server.close()
  })
  test('with a file that became a FIFO since it was listed is not waited for', async () => {
    const path = await directory({ 'a.md': 'A' })
    const listing = listDirectory(path, 'plain')
    await rm(join(path, 'a.md'))
    execFileSync('mkfifo', [join(path, 'a.md')])
    expect(readListed(listing, new Map())).toBeUndefined()
  })
  const testAsRoot = process.getuid?.() === 0 ? test : test.skip
  testAsRoot('with a file that may not be read names it, and who has to be given the right', async () => {
    const path = await directory({ 'tools/a.ts': 'A' })
    await chmod(path, 0o755)
    await chmod(join(path, 'tools/a.ts'), 0)
    process.seteuid?.(65_534)
    const found = problemFrom(() => readDirectory(path))
    process.seteuid?.(0)
    expect(await found).toMatchObject({
      reason: 'DirectoryNotFound',
      file: 'tools/a.ts',
      message: expect.stringMatching(/tools\/a\.ts may not be read: give this process \(user \d+\) the right to$/),
    })
  })
  test('that is missing, or is a file, is DirectoryNotFound', async () => {
    const path = await directory({ a: '' })
    for (const missing of [join(path, 'gone'), join(path, 'a')])
      expect(await problemFrom(() => readDirectory(missing))).toMatchObject({
        reason: 'DirectoryNotFound',
        message: expect.stringContaining(missing),
      })
  })
})

describe('a mounted ConfigMap', () => {
  test('is read from where ..data points, YAML included', async () => {
    const path = await directory({})
    const writer = createAtomicWriter(path)
    await writer.write({ 'a.tool.ts': '1', 'x.yaml': 'y' })
    await writer.write({ 'a.tool.ts': '2', 'x.yaml': 'y', 'b.prompt.md': 'b' })
    const { files } = readDirectory(path)
    expect([...files.keys()].sort()).toEqual(['a.tool.ts', 'b.prompt.md', 'x.yaml'])
    expect(Buffer.from(files.get('a.tool.ts') ?? '').toString()).toBe('2')
  })
  test('has the hash of a plain directory with the same files', async () => {
    const mounted = await directory({})
    await createAtomicWriter(mounted).write({ 'a.md': 'A', 'b.md': 'B' })
    const plain = await directory({ 'b.md': 'B', 'a.md': 'A' })
    expect(readDirectory(mounted).hash).toBe(readDirectory(plain).hash)
  })
  test('never shows a mix of two versions, or a part of one that is being deleted, while it is swapped', async () => {
    const path = await directory({})
    const writer = createAtomicWriter(path)
    await writer.write({ a: '0', b: '0', c: '0' })
    const swaps = (async () => {
      for (let version = 1; version <= 100; version += 1)
        await writer.write({ a: `${version}`, b: `${version}`, c: `${version}` })
      return 'done' as const
    })()
    let last = ''
    while ((await Promise.race([swaps, new Promise<'more'>((resolve) => setImmediate(resolve, 'more'))])) !== 'done') {
      const { files } = readDirectory(path)
      const seen = new Set([...files.values()].map((content) => Buffer.from(content).toString()))
      expect([files.size, seen.size]).toEqual([3, 1])
      last = [...seen].join()
    }
    expect(Number(last)).toBeGreaterThan(0)
  })
  test('is not read when it was listed while its version was being deleted', async () => {
    const path = await directory({})
    const writer = createAtomicWriter(path)
    await writer.write({ a: '1' })
    await rm(join(path, '..data', 'a'))
    const nothing = listDirectory(path, 'mount')
    expect(readListed(nothing, new Map())?.size).toBe(0)
    await writer.write({ a: '2' })
    expect(readListed(nothing, new Map())).toBeUndefined()
  })
  test('is refused for any file that breaks a bound', async () => {
    const path = await directory({})
    await createAtomicWriter(path).write({ 'pic.png': new Uint8Array(2_000_000) })
    expect(await problemFrom(() => readDirectory(path))).toMatchObject({ reason: 'FileTooLarge', file: 'pic.png' })
  })
  test('that is empty is an empty bundle', async () => {
    const path = await directory({})
    await createAtomicWriter(path).write({})
    expect(readDirectory(path).files.size).toBe(0)
  })
})

async function readFresh(sources: Sources) {
  const path = await directory(sources)
  return readDirectory(path)
}

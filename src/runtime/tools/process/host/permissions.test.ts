import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { packageDirectories } from './permissions.ts'

let root: string
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'midflight-')))
})
afterEach(() => rm(root, { recursive: true }))

async function install(at: string, manifest: object = {}): Promise<void> {
  await mkdir(join(root, at), { recursive: true })
  await writeFile(join(root, at, 'package.json'), JSON.stringify(manifest))
}
const found = (...names: string[]) =>
  packageDirectories(names, join(root, 'dist')).map((path) => path.slice(root.length + 1))

test('packages are found above the code, with all that they depend on, nested or beside them', async () => {
  await install('node_modules/a', { dependencies: { b: '1' }, peerDependencies: { '@x/c': '1' } })
  await install('node_modules/a/node_modules/b', { optionalDependencies: { missing: '1', a: '1' } })
  await install('node_modules/b')
  await install('node_modules/@x/c')
  await install('node_modules/d')
  expect(found('a')).toEqual(['node_modules/@x/c', 'node_modules/a', 'node_modules/a/node_modules/b'])
})
test('of a package that is a link both ends are read', async () => {
  await install('store/a')
  await mkdir(join(root, 'node_modules'))
  await symlink(join(root, 'store/a'), join(root, 'node_modules/a'))
  expect(found('a')).toEqual(['node_modules/a', 'store/a'])
})
test('what is not installed is no directory', () => {
  expect(found('none')).toEqual([])
})

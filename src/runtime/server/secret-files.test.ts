import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { followSecrets, isOneOf, keyFile, textOf } from './secret-files.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keys-'))
  file = join(folder, 'key')
})
afterEach(() => rm(folder, { recursive: true }))

test('a file holds a key a line; empty lines and the white space around them do not count', async () => {
  await writeFile(file, '  one \r\n\n\ttwo\n')
  expect(keyFile(file)?.()).toEqual(['one', 'two'])
})

test('a file without a key is none', async () => {
  expect(keyFile(file)).toBeUndefined()
  await writeFile(file, ' \n\n')
  expect(keyFile(file)).toBeUndefined()
})

test('a key is changed without an outage: both for a while, then the new one', async () => {
  let time = 0
  await writeFile(file, 'old')
  const keys = keyFile(file, () => time)
  const after = async (content: string) => {
    await writeFile(file, content)
    time += 1_000
    return ['old', 'new'].filter((key) => isOneOf(key, keys?.() ?? []))
  }
  expect(await after('old\nnew')).toEqual(['old', 'new'])
  expect(await after('new')).toEqual(['new'])
  expect(await after('')).toEqual(['new'])
})

test('files of a mount that changes between two of them are read as they are together', async () => {
  const version = async (name: string, texts: Readonly<Record<string, string>>) => {
    await mkdir(join(folder, name))
    for (const [key, text] of Object.entries(texts)) await writeFile(join(folder, name, key), text)
  }
  const show = async (name: string) => {
    await symlink(name, join(folder, 'new'))
    await rename(join(folder, 'new'), join(folder, '..data'))
  }
  await version('v1', { token: 'a', next: 'b' })
  await version('v2', { token: 'b' })
  await show('v1')
  const { renameSync, symlinkSync } = await import('node:fs')
  let isSwapped = false
  const swap = () => {
    if (isSwapped) return
    isSwapped = true
    symlinkSync('v2', join(folder, 'new'))
    renameSync(join(folder, 'new'), join(folder, '..data'))
  }
  const tokens = followSecrets(() => {
    const token = textOf(join(folder, '..data', 'token'))
    swap()
    const next = textOf(join(folder, '..data', 'next'))
    return [token, next].filter((each) => each !== undefined)
  })
  expect(tokens?.()).toEqual(['b'])
})

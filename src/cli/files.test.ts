import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { firstKey, readKey } from './files.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midflight-keys-'))
})
afterEach(() => rm(folder, { recursive: true }))

test.each([
  ['one', 'one'],
  ['one\n', 'one'],
  ['\n one \r\ntwo\n', 'one'],
  [' \n', ''],
])('of the keys in %j the first is %j', (text, key) => {
  expect(firstKey(text)).toBe(key)
})

test('a file with several keys gives the first, and one without any is told', async () => {
  const file = join(folder, 'keys')
  await writeFile(file, 'new\nold\n')
  expect(readKey(file)).toBe('new')
  await writeFile(file, '\n')
  expect(() => readKey(file)).toThrow(`--auth-key-file ${file} is empty: put the key into it`)
})

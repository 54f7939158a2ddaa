import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { startManagement, TOKEN } from './management.fixture.ts'
import { tokenFile } from './token.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'token-'))
  file = join(folder, 'token')
})
afterEach(() => rm(folder, { recursive: true }))

test('the token is what the file holds, without the white space around it', async () => {
  await writeFile(file, '  abc\n')
  expect(tokenFile(file)()).toBe('abc')
})

test('a changed file counts after a second at most, and is looked at no more often', async () => {
  let time = 0
  await writeFile(file, 'one')
  const token = tokenFile(file, () => time)
  await writeFile(file, 'two')
  time += 999
  expect(token()).toBe('one')
  time += 1
  expect(token()).toBe('two')
})

test('while the file is missing or empty the last token counts', async () => {
  let time = 0
  await writeFile(file, 'one')
  const token = tokenFile(file, () => time)
  await writeFile(file, '\n')
  time += 1_000
  expect(token()).toBe('one')
  await rm(file)
  time += 1_000
  expect(token()).toBe('one')
  await writeFile(file, 'two')
  time += 1_000
  expect(token()).toBe('two')
})

test.each([
  ['missing', undefined],
  ['empty', '\n'],
])('a file that is %s at the start is an error that names the flag', async (_what, content) => {
  if (content !== undefined) await writeFile(file, content)
  expect(() => tokenFile(file)).toThrow(`--management-token-file ${file} cannot be read or is empty`)
})

test('a call with the token before the change is refused from then on', async () => {
  let current = TOKEN
  await using server = await startManagement({ token: () => current })
  expect((await server.get('state')).status).toBe(200)
  current = 'another'
  expect((await server.get('state')).status).toBe(401)
  expect((await server.get('state', { authorization: 'Bearer another' })).status).toBe(200)
})

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { tokenIdOf } from '../../../api/index.ts'
import { startManagement, TOKEN } from './management.fixture.ts'
import { tokenFiles } from './token.ts'

let folder: string
let file: string
let other: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'token-'))
  file = join(folder, 'token')
  other = join(folder, 'nextToken')
})
afterEach(() => rm(folder, { recursive: true }))

test('the token is what the file holds, without the white space around it', async () => {
  await writeFile(file, '  abc\n')
  expect(tokenFiles([file])()).toEqual(['abc'])
})

test('a changed file counts after a second at most, and is looked at no more often', async () => {
  let time = 0
  await writeFile(file, 'one')
  const tokens = tokenFiles([file], () => time)
  await writeFile(file, 'two')
  time += 999
  expect(tokens()).toEqual(['one'])
  time += 1
  expect(tokens()).toEqual(['two'])
})

test('while the first file is missing or empty the last tokens count', async () => {
  let time = 0
  await writeFile(file, 'one')
  await writeFile(other, 'another')
  const tokens = tokenFiles([file, other], () => time)
  const after = async (change: Promise<void>) => {
    await change
    time += 1_000
    return tokens()
  }
  expect(await after(writeFile(file, '\n'))).toEqual(['one', 'another'])
  expect(await after(rm(file))).toEqual(['one', 'another'])
  expect(await after(writeFile(file, 'two'))).toEqual(['two', 'another'])
})

test('tokens of further files come and go with their files', async () => {
  let time = 0
  await writeFile(file, 'one')
  const tokens = tokenFiles([file, other], () => time)
  expect(tokens()).toEqual(['one'])
  await writeFile(other, 'two')
  time += 1_000
  expect(tokens()).toEqual(['one', 'two'])
  await rm(other)
  time += 1_000
  expect(tokens()).toEqual(['one'])
})

test('the same token in two files is one', async () => {
  await writeFile(file, 'one')
  await writeFile(other, 'one\n')
  expect(tokenFiles([file, other])()).toEqual(['one'])
})

test.each([
  ['missing', undefined],
  ['empty', '\n'],
])('a first file that is %s at the start is an error that names the flag', async (_what, content) => {
  if (content !== undefined) await writeFile(file, content)
  await writeFile(other, 'another')
  expect(() => tokenFiles([file, other])).toThrow(`--management-token-file ${file} cannot be read or is empty`)
})

test('a call with any of the tokens is answered, and with one that is gone refused', async () => {
  let current = [TOKEN, 'another']
  await using server = await startManagement({ tokens: () => current })
  const another = { authorization: 'Bearer another' }
  expect([(await server.get('state')).status, (await server.get('state', another)).status]).toEqual([200, 200])
  current = ['another']
  expect([(await server.get('state')).status, (await server.get('state', another)).status]).toEqual([401, 200])
})

test('the state tells ids of the tokens that it accepts and never a token, and its ETag changes with them', async () => {
  let current = [TOKEN]
  await using server = await startManagement({ tokens: () => current })
  const before = await server.get('state')
  const etag = before.headers.get('etag') ?? ''
  expect(await before.json()).toMatchObject({ credentials: { tokenIds: [tokenIdOf(TOKEN)] } })
  expect((await server.get('state', { 'if-none-match': etag })).status).toBe(304)
  current = [TOKEN, 'canary-next']
  const after = await server.get('state', { 'if-none-match': etag })
  const text = await after.text()
  expect(JSON.parse(text).credentials).toEqual({ tokenIds: [tokenIdOf(TOKEN), tokenIdOf('canary-next')] })
  expect(text).not.toMatch(new RegExp(`${TOKEN}|canary-next`))
})

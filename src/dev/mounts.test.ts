import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { ItemResult } from '../api/index.ts'
import type { MountedBundles } from '../runtime/registry/index.ts'
import { createMounts, type MountsObserver } from './mounts.ts'

let root: string
let directory: string
let stop: AbortController
let mounts: ReturnType<typeof createMounts>
let log: string[]
let logged: () => void

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'midflight-mounts-'))
  directory = join(root, 'q')
  stop = new AbortController()
  log = []
  logged = () => undefined
})
afterEach(async () => {
  stop.abort()
  await mounts.ended()
  await rm(root, { recursive: true, force: true })
})

const tell = (line: string) => {
  log.push(line)
  logged()
}
const until = async (line: string): Promise<void> => {
  while (!log.includes(line)) {
    const { promise, resolve } = Promise.withResolvers<void>()
    logged = resolve
    await promise
  }
}
const taken: ItemResult = { outcome: 'activated' }
const textOf = (files: ReadonlyMap<string, Uint8Array>) => Buffer.from(files.get('a.md') ?? '').toString()

/** A runtime that writes down what it is brought, and refuses to go on at the text `crash`. */
const runtime: MountedBundles = {
  offer: async ({ files }) => {
    if (textOf(files) === 'crash') throw new TypeError('broken runtime')
    tell(`offer ${textOf(files)}`)
    return taken
  },
  refuse: (_name, { reason }) => {
    tell(`refuse ${reason}`)
    return taken
  },
  withdraw: async () => {
    tell('withdraw')
    return taken
  },
}
const observer: MountsObserver = {
  offering: ({ files }) => tell(`offering ${textOf(files)}`),
  saw: (name) => tell(`saw ${name}`),
  settled: () => tell('settled'),
}
const save = async (text: string) => {
  await writeFile(join(directory, 'a.md~'), text)
  await rename(join(directory, 'a.md~'), join(directory, 'a.md'))
}
const follow = async (text: string) => {
  await mkdir(directory)
  await save(text)
  mounts = createMounts(runtime, observer, stop.signal)
  await mounts.follow(new Map([['q', directory]]))
}

test('a directory is served again after a link to itself stood in its place', async () => {
  await follow('1')
  await rename(directory, `${directory}-away`)
  await symlink(directory, directory)
  await until('refuse DirectoryNotFound')
  await rm(directory)
  await rename(`${directory}-away`, directory)
  await save('2')
  await until('offer 2')
})

test('a runtime that throws at one version is offered the next', async () => {
  await follow('1')
  await save('crash')
  await until('refuse ToolLoadFailed')
  await save('3')
  await until('offer 3')
})

test('a change is told of before the runtime deals with it', async () => {
  await follow('1')
  await rm(join(directory, 'a.md'))
  await until('withdraw')
  await rename(directory, `${directory}-away`)
  await until('refuse DirectoryNotFound')
  const told = log.filter((line) => line !== 'settled')
  expect(told).toEqual(['offering 1', 'offer 1', 'saw q', 'withdraw', 'saw q', 'refuse DirectoryNotFound'])
})

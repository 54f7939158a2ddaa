import { execFileSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { createMetrics } from '../metrics.ts'
import { createRuntime, type Runtime } from '../runtime/runtime.ts'
import { createInThreadHost } from '../runtime/tools/index.ts'
import { directoryBundles } from './bundles.ts'
import { type Session, startSession } from './session.ts'

const SAMPLE = join(import.meta.dirname, '../../deploy/samples/quickstart')

describe('the last good version serves on', () => {
  let dir: string
  let stop: AbortController
  let runtime: Runtime
  let session: Session

  beforeEach(async () => {
    dir = join(await mkdtemp(join(tmpdir(), 'midflight-last-good-')), 'qs')
    await cp(SAMPLE, dir, { recursive: true })
    stop = new AbortController()
    runtime = createRuntime({ host: createInThreadHost(), metrics: createMetrics({ process: false }) }, stop.signal)
    const bundles = directoryBundles([dir])
    const options = { manifests: [dir], bundles, environment: {}, runtime: runtime.registry, report: () => undefined }
    session = await startSession(options, stop.signal)
  })
  afterEach(async () => {
    stop.abort()
    await session.ended
    await rm(join(dir, '..'), { recursive: true, force: true })
  })
  const ask = async (): Promise<string> => {
    let answer = ''
    const run = runtime.runs.start({ kind: 'agents', name: 'support', message: 'weather' })
    for await (const event of run.events) if (event.type === 'content' && event.run.depth === 0) answer += event.delta
    return answer
  }
  const reasons = (): string[] => session.problems().map(({ reason }) => reason)
  const tool = () => join(dir, 'tools/weather.ts')
  const instead = async (put: (path: string) => unknown) => {
    await rename(tool(), `${tool()}~`)
    await put(tool())
  }

  const mend = async () => {
    if (reasons().includes('DirectoryNotFound')) {
      await rm(dir, { force: true })
      await rename(`${dir}~`, dir)
    } else {
      await rm(join(dir, 'tools'), { recursive: true, force: true })
      await cp(join(SAMPLE, 'tools'), join(dir, 'tools'), { recursive: true })
    }
  }

  test.each<[string, string, () => Promise<unknown>]>([
    ['it is gone', 'DirectoryNotFound', () => rename(dir, `${dir}~`)],
    ['it holds nothing any more', 'StillReferenced', () => rm(join(dir, 'tools'), { recursive: true })],
    [
      'a link to itself is in its place',
      'DirectoryNotFound',
      () => rename(dir, `${dir}~`).then(() => symlink(dir, dir)),
    ],
    ['a tool is too large', 'FileTooLarge', () => writeFile(join(dir, 'tools/large.ts'), new Uint8Array(2_000_000))],
    ['a tool is not UTF-8', 'FileNotText', () => instead((path) => writeFile(path, Uint8Array.of(0xc3, 0x28)))],
    ['a tool is a FIFO', 'StillReferenced', () => instead((path) => execFileSync('mkfifo', [path]))],
    ['a tool is a device', 'StillReferenced', () => instead((path) => symlink('/dev/zero', path))],
    ['a tool is a link to itself', 'StillReferenced', () => instead((path) => symlink(path, path))],
    ['a tool is a folder', 'StillReferenced', () => instead((path) => mkdir(path))],
  ])('while of its directory %s, and the next one when that is mended', async (_sentence, reason, spoil) => {
    await spoil()
    while (!reasons().includes(reason)) await sleep(10)
    expect(await ask()).toContain('Paris')
    await mend()
    while (reasons().length > 0) await sleep(10)
    expect(await ask()).toContain('Paris')
  })
})

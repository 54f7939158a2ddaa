import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { until } from '../process.fixture.ts'
import { boundToThisProcess } from './bound.ts'

const directory = mkdtempSync(join(tmpdir(), 'midflight-bound-'))
afterAll(() => rm(directory, { recursive: true }))

test('programs start as they are where there is no setpriv, or one that cannot bind them', () => {
  const other = join(directory, 'setpriv')
  writeFileSync(other, 'usage: setpriv --no-new-privs')
  expect(boundToThisProcess(other)).toEqual([])
  expect(boundToThisProcess(join(directory, 'none'))).toEqual([])
})

/** Not when it has ended and nobody has asked how. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

const testWhereBound = boundToThisProcess().length > 0 ? test : test.skip

testWhereBound(
  'code that never yields does not outlive a runtime that is killed',
  async () => {
    const runtime = spawn(process.execPath, [join(import.meta.dirname, 'looping.fixture.ts')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const told = await new Promise<string>((resolve, reject) => {
      runtime.once('exit', () => reject(new Error('the runtime ended before its tool was called')))
      runtime.stdout.once('data', (data: Buffer) => resolve(data.toString()))
    })
    const pid = Number(told)
    expect(isRunning(pid)).toBe(true)
    runtime.kill('SIGKILL')
    await until(() => !isRunning(pid))
  },
  30_000,
)

import { execFile } from 'node:child_process'
import { platform } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'
import { BAD_KINDS } from '../versions.ts'
import type { ServingFigures } from './serving.ts'

const SHORT = ['--requests', '1000', '--swaps', '24', '--one-in-bad', '3', '--rounds', '1']

/** One that serves and one that is warm; how many there are is known on Linux. */
const HOSTS = platform() === 'linux' ? 2 : 0

test.each([
  ['none', 0],
  ['process', HOSTS],
])(
  'a runtime with isolation %s drops no call and serves nothing bad or old while its files are swapped',
  async (isolation, children) => {
    const args = [join(import.meta.dirname, 'serving.main.ts'), '--isolation', isolation, ...SHORT]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: {}, timeout: 90_000 })
    const figures: ServingFigures = JSON.parse(stdout)
    expect(figures.examples).toEqual([])
    expect(figures).toMatchObject({
      faults: { dropped: 0, bad: 0, older: 0, mixed: 0, unreadable: 0 },
      missed: 0,
      hostRestarts: 0,
      swaps: 24,
      badSwaps: 8,
    })
    expect(figures.looks).toMatchObject([{ children }])
    expect(Object.keys(figures.refused)).toEqual(expect.arrayContaining(BAD_KINDS.map(([, reason]) => reason)))
    expect(figures.requests).toBeGreaterThanOrEqual(1000)
  },
  90_000,
)

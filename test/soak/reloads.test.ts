import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'
import type { ReloadFigures } from './reloads.ts'

test('2,000 reloads of a tool of four files fit into a heap of 48 MB and leave nothing behind', async () => {
  const args = ['--max-old-space-size=48', join(import.meta.dirname, 'reloads.main.ts'), '2000']
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: {}, timeout: 60_000 })
  const figures: ReloadFigures = JSON.parse(stdout)
  expect(figures.reloads).toBe(2000)
  expect(figures.bytesPerReload).toBeLessThan(512)
}, 60_000)

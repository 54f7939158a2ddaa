import { expect, test } from '@jest/globals'
import { soakWatcher } from './watcher.ts'

test('400 swaps of 4 mounts in every rhythm, a block of the event loop among them: each shows its last version', async () => {
  const figures = await soakWatcher({ swaps: 400, directories: 4, blockedMs: 300, seed: 1 })
  expect(figures).toMatchObject({ swaps: 400, mixed: 0, stale: 0, failed: 0, lost: 0, examples: [] })
  expect(figures.after.watches).toBe(figures.before.watches)
  expect(figures.events).toBeGreaterThan(100)
}, 30_000)

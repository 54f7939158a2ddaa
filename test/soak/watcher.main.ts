import { parseArgs } from 'node:util'
import { soakWatcher } from './watcher.ts'

/** `node test/soak/watcher.main.ts --swaps 10000` prints the figures as JSON, and how far it is on stderr. */
const { values } = parseArgs({
  options: {
    swaps: { type: 'string', default: '10000' },
    directories: { type: 'string', default: '8' },
    blocked: { type: 'string', default: '4000' },
    seed: { type: 'string', default: '1' },
  },
})
const figures = await soakWatcher({
  swaps: Number(values.swaps),
  directories: Number(values.directories),
  blockedMs: Number(values.blocked),
  seed: Number(values.seed),
  say: (line) => void process.stderr.write(`${line}\n`),
})
process.stdout.write(`${JSON.stringify(figures)}\n`)

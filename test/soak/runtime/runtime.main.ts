import { parseArgs } from 'node:util'
import { soakRuntime } from './runtime.ts'

/** `node test/soak/runtime/runtime.main.ts --node PROGRAM` prints the figures as JSON, and how far it is on stderr. */
const { values } = parseArgs({
  options: {
    node: { type: 'string', default: process.execPath },
    isolation: { type: 'string', default: 'none' },
    swaps: { type: 'string', default: '20000' },
    heap: { type: 'string', default: '48' },
  },
})
const figures = await soakRuntime({
  node: values.node,
  isolation: values.isolation === 'process' ? 'process' : 'none',
  swaps: Number(values.swaps),
  heapMiB: Number(values.heap),
  say: (line) => void process.stderr.write(`${line}\n`),
})
process.stdout.write(`${JSON.stringify(figures)}\n`)

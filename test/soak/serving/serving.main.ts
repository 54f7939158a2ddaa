import { parseArgs } from 'node:util'
import { soakServing } from './serving.ts'

/** `node test/soak/serving/serving.main.ts --isolation process` prints the figures as JSON, and how far it is on stderr. */
const { values } = parseArgs({
  options: {
    isolation: { type: 'string', default: 'none' },
    requests: { type: 'string', default: '1000000' },
    swaps: { type: 'string', default: '10000' },
    'one-in-bad': { type: 'string', default: '10' },
    rounds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
})
const figures = await soakServing({
  isolation: values.isolation === 'process' ? 'process' : 'none',
  requests: Number(values.requests),
  swaps: Number(values.swaps),
  oneInBad: Number(values['one-in-bad']),
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  say: (line) => void process.stderr.write(`${line}\n`),
})
process.stdout.write(`${JSON.stringify(figures)}\n`)

import { bundleFrom } from '../../../files/bundle.fixture.ts'
import { createProcessHost } from '../process-host.ts'

// A runtime with a tool that tells the id of its process and never yields again.

const LOOPS = `export default { description: 'loops', execute: (_, { log }) => { log.info(String(process.pid)); for (;;); } }`

const signal = new AbortController().signal
const host = createProcessHost({ output: 'ignore' }, signal)
const hosting = { memoryMiB: 256 }
const set = await host.load(bundleFrom({ 'tools/loops.ts': LOOPS }), { packages: [], timeoutMs: 10_000, hosting })
await set.call('loops', {}, { signal, log: ({ message }) => void process.stdout.write(`${message}\n`) })

import type { Files } from '../../lib/mounted-directory.ts'

/** What tools do wrong. `crash` does nothing by itself: it is the call under way when its process gets SIGSEGV. */
const FAULTS = {
  loop: '() => { for (;;); }',
  exit: '() => process.exit(3)',
  abort: '() => process.abort()',
  crash: '() => new Promise(() => undefined)',
  hog: 'async () => { const all = []; for (;;) { all.push(Buffer.alloc(4_000_000, 1)); await new Promise(setImmediate) } }',
} as const
export type Fault = keyof typeof FAULTS
export const FAULT_NAMES = Object.keys(FAULTS) as Fault[]

const tool = (execute: string): string => `export default { description: 'A tool', execute: ${execute} }\n`

/** A bundle whose tools do all of it, with `fine`, which answers the process that it runs in and the version. */
export const faultyFiles = (version: number): Files => ({
  ...Object.fromEntries(Object.entries(FAULTS).map(([name, execute]) => [`${name}.tool.ts`, tool(execute)])),
  'fine.tool.ts': tool(`() => ({ pid: process.pid, version: ${version} })`),
  'support.prompt.md': 'You are asked all the while.',
})

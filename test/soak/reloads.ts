import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { bundleOf } from '../../src/api/index.ts'
import { createInThreadHost, type ToolSet } from '../../src/runtime/tools/index.ts'

export type ReloadFigures = {
  /** Of Node. */
  readonly version: string
  readonly reloads: number
  /** Growth of the live heap per reload, in bytes, over the second half. */
  readonly bytesPerReload: number
  readonly rssMiB: number
  /** How long each reload keeps the event loop to itself, in milliseconds. */
  readonly blocked: Percentiles
}
type Percentiles = { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number }

const line = 'function row(values: readonly number[]): number { return values.reduce((sum, value) => sum + value, 0) }'
/** As long as tools usually are: 4 KB. */
const padding = Array.from({ length: 30 }, (_, index) => line.replace('row', `row${index}`)).join('\n')

/** A tool of four files; two of them change with every version. */
const version = (number: number) =>
  bundleOf(
    'soak',
    new Map(
      Object.entries({
        'tools/sum.ts': `import { a } from '../lib/a.ts'
import { b } from '../lib/b.ts'
interface Args { readonly add: number }
export default {
  description: 'version ${number}',
  parameters: { type: 'object', properties: { add: { type: 'number' } }, required: ['add'] },
  execute: ({ add }: Args): number => a + b() + add,
}
${padding}`,
        'lib/a.ts': `import { c } from './c.ts'\nexport const a: number = ${number} + c`,
        'lib/b.ts': `import { c } from './c.ts'\nexport const b = (): number => c`,
        'lib/c.ts': 'export const c: number = 0',
      }).map(([path, text]) => [path, Buffer.from(text)]),
    ),
  )

/**
 * Reloads a tool again and again, each time with a call, and measures what stays in memory and how long the event loop
 * stands still. @throws when a reload or a call gives something else than it should
 */
export async function soakReloads(reloads: number): Promise<ReloadFigures> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext("() => gc({ type: 'major', flavor: 'last-resort' })") as () => void
  const host = createInThreadHost()
  const signal = new AbortController().signal
  let serving: ToolSet | undefined
  const reload = async (number: number) => {
    const next: ToolSet = await host.load(version(number), { packages: [], timeoutMs: 5000, previous: serving })
    const result = await next.call('sum', { add: 1 }, { signal })
    if (result !== number + 1) throw new Error(`version ${number} answered ${result}`)
    await serving?.dispose()
    serving = next
  }
  const live = async () => {
    await new Promise(setImmediate)
    collect()
    return process.memoryUsage().heapUsed
  }
  const blocked: number[] = []
  const first = Math.ceil(reloads / 2)
  let before = 0
  for (let number = 0; number < reloads; number += 1) {
    const begun = performance.now()
    await reload(number)
    blocked.push(performance.now() - begun)
    if (number === first) before = await live()
    if (number % 10 === 0) await new Promise(setImmediate)
  }
  const after = await live()
  return {
    version: process.version,
    reloads,
    bytesPerReload: (after - before) / (reloads - first),
    rssMiB: process.memoryUsage().rss / 1024 / 1024,
    blocked: percentiles(blocked.slice(first)),
  }
}

function percentiles(samples: readonly number[]): Percentiles {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }
}

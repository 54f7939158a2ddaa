// Runs what takes too long for `npm test`: thousands of reloads under load, and what they leave behind.
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { writeSection } from '../bench/lib/document.ts'
import { machine } from '../bench/lib/machine.ts'
import { isMet, machineText, markdownTable, type Target, targetTable } from '../bench/lib/report.ts'
import { reloadsPart, runtimePart } from './soak/leaks.ts'
import type { Part, Settings } from './soak/part.ts'
import { type Outcome, runPart, runParts } from './soak/run.ts'
import { servingPart } from './soak/serving.ts'
import { watcherPart } from './soak/watcher.ts'

/** The longest first: where several run at once, none is left alone at the end. */
const PARTS: readonly Part[] = [
  runtimePart('runtime process', { node: 26, isolation: 'process', swaps: 2_000 }),
  servingPart('serving process', 'process'),
  runtimePart('runtime node 26', { node: 26, isolation: 'none', swaps: 20_000 }),
  runtimePart('runtime node 24', { node: 24, isolation: 'none', swaps: 20_000 }),
  servingPart('serving in-thread', 'none'),
  reloadsPart('reloads node 26', 26),
  reloadsPart('reloads node 24', 24),
  watcherPart('watcher'),
]

const HELP = `Changes the files of running agents thousands of times, well and badly, under load, and looks for calls that were
dropped, for answers of a version that must not serve, and for what is left behind in memory.

  npm run soak [-- --only PART…] [--seed N] [--percent N] [--at-once N] [--json FILE] [--short]

${PARTS.map(({ name, shows }) => `  ${name.padEnd(18)} ${shows}`).join('\n')}

  --only PART    parts whose name has this in it: "serving", "node 24", "runtime process"; may be given several times
  --seed N       what is random in the order of swaps; a failure names its seed (default 1)
  --percent N    of the calls and swaps of "serving" (default 100; 10: 100,000 and 1,000 in each isolation)
  --at-once N    parts that run at the same time (default 1); from 2 on, what took longer than it should is told and no
                 failure, as the parts are in each other's way
  --json FILE    write all figures there
  --short        a few of everything, in seconds: to see that it works

  npm run soak -- --only "serving process" --seed 7

What is run in full, one part at a time, is written into docs/benchmarks.md.
The first run installs the oldest Node that is supported into the user's cache folder. It ends with exit code 1 when a
target is missed. All of it takes three quarters of an hour on two cores.
`

type Options = Settings & {
  readonly parts: readonly Part[]
  readonly atOnce: number
  readonly json: string | undefined
}

/** Undefined for a call for help. @throws Error naming what is wrong with the arguments */
function readOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true, default: [''] },
      seed: { type: 'string', default: '1' },
      percent: { type: 'string', default: '100' },
      'at-once': { type: 'string', default: '1' },
      json: { type: 'string' },
      short: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const unknown = values.only.find((word) => !PARTS.some(({ name }) => name.includes(word)))
  if (unknown !== undefined) throw new Error(`no part has "${unknown}" in its name`)
  const parts = PARTS.filter(({ name }) => values.only.some((word) => name.includes(word)))
  const [seed, percent, atOnce] = [Number(values.seed), Number(values.percent), Number(values['at-once'])]
  if (!Number.isInteger(seed)) throw new Error('--seed must be a whole number')
  if (!(Number.isInteger(percent) && percent >= 1 && percent <= 100))
    throw new Error('--percent must be a whole number from 1 to 100')
  if (!(Number.isInteger(atOnce) && atOnce >= 1)) throw new Error('--at-once must be a whole number from 1')
  return { isShort: values.short, percent, seed, atOnce, parts, json: values.json }
}

function show(outcomes: readonly Outcome[], { timingsCount }: { readonly timingsCount: boolean }): void {
  const targets = outcomes.flatMap((outcome) => outcome.targets)
  const timings = outcomes.flatMap((outcome) => outcome.timings)
  const seconds = outcomes.map(({ name, seconds: took }) => `${name} ${took.toFixed(0)} s`)
  const sections = [
    `On ${machineText(machine())}: ${seconds.join(', ')}.`,
    markdownTable(targetTable(targets)),
    markdownTable({ ...targetTable(timings), title: timingsCount ? 'Times' : 'Times, which do not count here' }),
    ...outcomes.flatMap((outcome) => outcome.tables.map(markdownTable)),
  ]
  process.stdout.write(`\n${sections.join('\n\n')}\n\n`)
}

/** A part as it stands among the other figures. */
function sectionOf({ seconds, targets, timings, tables }: Outcome): string {
  const date = new Date().toISOString().slice(0, 10)
  const head = `Measured ${date}, in ${seconds.toFixed(0)} s, on ${machineText(machine())}.`
  return [head, ...[targetTable([...targets, ...timings]), ...tables].map(markdownTable)].join('\n\n')
}

/** Says what went wrong and how to see it again. */
function explain(outcomes: readonly Outcome[], missed: ReadonlySet<Target>, options: Options): void {
  for (const { name, targets, timings, examples } of outcomes) {
    const lines = [...targets, ...timings].filter((target) => missed.has(target))
    if (lines.length === 0) continue
    const flags = [`--only "${name}"`, `--seed ${options.seed}`, ...(options.isShort ? ['--short'] : [])]
    if (options.percent !== 100) flags.push(`--percent ${options.percent}`)
    process.stdout.write(`missed: ${lines.map(({ what, value }) => `${what}: ${value}`).join('\n        ')}\n`)
    for (const example of examples) process.stdout.write(`  ${example.replaceAll('\n', '\n  ')}\n`)
    process.stdout.write(`  again with: npm run soak -- ${flags.join(' ')}\n\n`)
  }
}

/** @returns the exit code: 1 when a target was missed or a part failed, 2 for wrong arguments */
async function main(args: readonly string[]): Promise<number> {
  let options: Options | undefined
  try {
    options = readOptions(args)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`)
    return 2
  }
  if (options === undefined) {
    process.stdout.write(HELP)
    return 0
  }
  const settings: Settings = options
  const say = (line: string): void => void process.stderr.write(`${line}\n`)
  const outcomes = await runParts(options.parts, options.atOnce, (part) => runPart(part, settings, say))
  const timingsCount = options.atOnce === 1 && !options.isShort
  const counted = outcomes.flatMap(({ targets, timings }) => [...targets, ...(timingsCount ? timings : [])])
  const missed = new Set(counted.filter((target) => !isMet(target)))
  show(outcomes, { timingsCount })
  explain(outcomes, missed, options)
  if (timingsCount && options.percent === 100)
    for (const outcome of outcomes) await writeSection(`soak ${outcome.name}`, sectionOf(outcome))
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(outcomes, null, 2)}\n`)
  process.stdout.write(`${counted.length - missed.size} passed, ${missed.size} failed\n`)
  return missed.size === 0 ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { benchCluster } from './cluster/cluster.ts'
import { type Bench, type Context, ROOT } from './lib/bench.ts'
import { writeSection } from './lib/document.ts'
import { machine } from './lib/machine.ts'
import { Processes } from './lib/processes.ts'
import { isMet, markdown, type Result } from './lib/report.ts'
import { benchOperator } from './operator/operator.ts'
import { benchPropagation } from './propagation/propagation.ts'
import { benchReload } from './reload/reload.ts'
import { benchRuns } from './runs/runs.ts'
import { benchStart } from './start/start.ts'

const BENCHES: Readonly<Record<string, Bench>> = {
  propagation: benchPropagation,
  operator: benchOperator,
  cluster: benchCluster,
  reload: benchReload,
  runs: benchRuns,
  start: benchStart,
}

const HELP = `Measures this checkout and writes bench/results/NAME.json and the tables of docs/benchmarks.md.

  npm run bench [-- [NAME...] [--rounds N] [--quick] [--only PART] [--profile DIR]]

  propagation    how soon a change in the API server is served by three runtimes
  operator       cold start beside a twin on controller-runtime, writes, memory, restarts
  cluster        changes, installs and pod starts on a real node; runs under load while everything changes
  reload         how soon a changed prompt or tool serves, beside others that reload; what reloads and faults cost
  runs           what a run costs over its model's own time, and how many one core serves, beside AgentOS
  start          time to the first answer, idle memory, and 1,000 agents added and removed

  --rounds N     how often each contender is measured, in turn (default 5)
  --quick        few of everything and one round, to see that it works; writes nothing
  --only PART    operator, cluster, reload: one part, such as "cold start"; writes nothing
  --profile DIR  runs: keeps a CPU profile of the runtime in DIR

  npm run bench -- runs --rounds 7
`

const RESULTS = join(ROOT, 'bench/results')

type Options = {
  readonly names: readonly string[]
  readonly rounds: number
  readonly quick: boolean
  readonly only: string | undefined
  readonly profileDir: string | undefined
}

/** Undefined for a call for help. @throws Error naming what is wrong with the arguments */
function readOptions(args: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const unknown = positionals.find((name) => !Object.hasOwn(BENCHES, name))
  if (unknown !== undefined) throw new Error(`no bench "${unknown}": there are ${Object.keys(BENCHES).join(', ')}`)
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5))
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds must be a whole number from 1')
  const names = positionals.length === 0 ? Object.keys(BENCHES) : positionals
  return { names, rounds, quick: values.quick, only: values.only, profileDir: values.profile }
}

function benchOf(name: string): Bench {
  const bench = BENCHES[name]
  if (bench === undefined) throw new Error(`no bench "${name}"`)
  return bench
}

async function runBench(name: string, { rounds, quick, only, profileDir }: Options): Promise<Result> {
  await using processes = new Processes()
  const say = (line: string): void => void process.stderr.write(`${line}\n`)
  const context: Context = { processes, rounds, quick, only, profileDir, say }
  const report = await benchOf(name)(context)
  return { bench: name, measuredAt: new Date().toISOString(), machine: machine(), rounds, ...report }
}

async function write(result: Result): Promise<void> {
  await mkdir(RESULTS, { recursive: true })
  await writeFile(join(RESULTS, `${result.bench}.json`), `${JSON.stringify(result, null, 2)}\n`)
  await writeSection(result.bench, markdown(result))
}

/** @returns the exit code: 1 when a target was missed or a bench failed, 2 for wrong arguments */
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
  let failed = false
  for (const name of Object.keys(BENCHES)) {
    if (options.names.includes(name) && !(await runOne(name, options))) failed = true
  }
  return failed ? 1 : 0
}

/** @returns whether it went through and met its targets */
async function runOne(name: string, options: Options): Promise<boolean> {
  try {
    const result = await runBench(name, options)
    process.stdout.write(`\n## ${name}\n\n${markdown(result)}\n`)
    if (!options.quick && options.only === undefined) await write(result)
    return result.targets.every(isMet)
  } catch (error) {
    process.stderr.write(`${name} failed: ${error instanceof Error ? error.stack : String(error)}\n`)
    return false
  }
}

process.exitCode = await main(process.argv.slice(2))

// Runs the program of a part and judges what it found.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Findings, none, type Part, type Settings } from './part.ts'

/** What came of a part. `figures` is what its program printed, where it came so far. */
export type Outcome = Findings & {
  readonly name: string
  readonly seconds: number
  readonly figures?: unknown
}

type Say = (line: string) => void

/** Starts programs, and ends those that are left when this one ends. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill()
})
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(130))

/** @returns what was found; a part whose program fails has missed one target, and its last lines tell why */
export async function runPart(part: Part, settings: Settings, say: Say): Promise<Outcome> {
  const started = performance.now()
  const seconds = (): number => (performance.now() - started) / 1000
  const { name } = part
  const tell: Say = (line) => say(`${name}: ${line}`)
  try {
    const figures = await figuresFrom(await part.command(settings, tell), tell)
    tell(`done after ${seconds().toFixed(0)} s`)
    return { name, seconds: seconds(), figures, ...part.findings(figures, settings) }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    tell(`failed after ${seconds().toFixed(0)} s`)
    const failed = none(`${name}: failures to run to its end`, 1)
    return { name, seconds: seconds(), targets: [failed], timings: [], tables: [], examples: [why] }
  }
}

const TAIL_LINES = 30

async function figuresFrom([program, ...args]: readonly [string, ...string[]], tell: Say): Promise<unknown> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.once('error', reject)
  child.once('close', (code, signal) => resolve(`ended with ${signal ?? `exit code ${code}`}`))
  const [out, tail]: [string[], string[]] = [[], []]
  createInterface({ input: child.stdout }).on('line', (line) => void out.push(line))
  createInterface({ input: child.stderr }).on('line', (line) => {
    tell(line)
    tail.push(line)
  })
  const ended = await promise.finally(() => running.delete(child))
  if (child.exitCode !== 0) throw new Error([ended, ...tail.slice(-TAIL_LINES)].join('\n'))
  return JSON.parse(out.at(-1) ?? 'null')
}

/** Runs the parts, at most so many at once, the first ones first. */
export async function runParts(parts: readonly Part[], atOnce: number, run: (part: Part) => Promise<Outcome>) {
  const outcomes = new Map<Part, Outcome>()
  const left = parts.values()
  const lane = async (): Promise<void> => {
    for (const part of left) outcomes.set(part, await run(part))
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return parts.flatMap((part) => outcomes.get(part) ?? [])
}

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { runCli } from './program.ts'

const ROOT = join(import.meta.dirname, '..', '..')
export const QUICKSTART = join(ROOT, 'deploy/samples/quickstart')

/** A running `midflight`, as a process of its own. */
export type Cli = {
  readonly child: ChildProcess
  readonly exit: Promise<number | null>
  stdout(): string
  stderr(): string
  /** Resolves with the match as soon as stdout has it. Rejects when the process ends before. */
  sees(pattern: RegExp): Promise<RegExpExecArray>
}

/** Starts the command from its sources, with nothing of the tests' own environment. */
export function startCli(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Cli {
  const main = join(ROOT, 'src/cli/main.ts')
  const child = spawn(process.execPath, [main, ...args], { cwd: ROOT, env: environment })
  const text = { stdout: '', stderr: '' }
  const watchers = new Set<() => void>()
  const take = (name: keyof typeof text) => (chunk: Buffer) => {
    text[name] += chunk.toString()
    for (const watcher of watchers) watcher()
  }
  child.stdout.on('data', take('stdout'))
  child.stderr.on('data', take('stderr'))
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
  return {
    child,
    exit,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    sees: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = pattern.exec(text.stdout)
          if (match === null) return
          watchers.delete(look)
          resolve(match)
        }
        watchers.add(look)
        void exit.then((code) =>
          reject(new Error(`ended with ${code} before ${pattern}: ${text.stdout}${text.stderr}`)),
        )
        look()
      }),
  }
}

type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** Runs a command to its end, as a process of its own. */
export async function runToEnd(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const cli = startCli(args, environment)
  const code = await cli.exit
  return { code, stdout: cli.stdout(), stderr: cli.stderr() } satisfies Ended
}

/** Runs a command to its end in this process. */
export async function runHere(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const text = { stdout: '', stderr: '' }
  const output = (name: keyof typeof text) =>
    new Writable({
      write: (chunk, _encoding, done) => {
        text[name] += String(chunk)
        done()
      },
    })
  const io = { stdin: Readable.from([]), stdout: output('stdout'), stderr: output('stderr') }
  const code = await runCli(args, { ...io, environment, signal: new AbortController().signal })
  return { code, ...text } satisfies Ended
}

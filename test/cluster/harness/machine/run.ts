import { execFile } from 'node:child_process'

export type RunOptions = {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly signal?: AbortSignal
}

/** As root has it, whatever the PATH of the job that runs the tests leaves out. */
export const SYSTEM_PATH = `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`

/**
 * Runs a program to its end.
 * @returns what it wrote to stdout
 * @throws Error with what it wrote to stderr where it fails
 */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input = '', env = {}, cwd, signal } = options
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = execFile(
    program,
    args,
    {
      env: { ...process.env, PATH: SYSTEM_PATH, ...env },
      maxBuffer: 256 * 1024 * 1024,
      ...(cwd !== undefined && { cwd }),
      ...(signal && { signal }),
    },
    (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${stderr.trim() || error.message}`))
      else resolve(stdout)
    },
  )
  // A program that refuses its arguments reads no input.
  child.stdin?.on('error', () => undefined).end(input)
  return promise
}

/** The same where failing is an answer too. @returns undefined where it fails */
export const tryRun = (program: string, args: readonly string[], options?: RunOptions): Promise<string | undefined> =>
  run(program, args, options).catch(() => undefined)

/** The lines of a text that are not empty. */
export const linesOf = (text: string): readonly string[] => text.split('\n').filter((line) => line.trim() !== '')

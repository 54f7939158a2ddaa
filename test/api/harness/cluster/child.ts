import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

export type ChildState = 'running' | 'paused' | 'ended'

/** A program that lives no longer than this process does. */
export interface Child {
  readonly name: string
  readonly pid: number
  readonly state: ChildState
  readonly ended: Promise<void>
  /** SIGSTOP: it keeps its connections and answers nothing. */
  pause(): void
  /** SIGCONT */
  resume(): void
  /** SIGKILL, paused or not; resolves when it is gone. */
  kill(): Promise<void>
  /** The last lines it wrote. */
  logTail(lines?: number): string
}

export type Command = {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  /** Its working folder and home. */
  readonly folder: string
  /** Takes what it writes, after what is there. */
  readonly logFile: string
}

/**
 * Starts a program that the kernel kills when this process dies, however it dies (`setpriv` of util-linux asks it to).
 * @throws Error where setpriv or the program cannot be started
 */
export async function startChild({ name, program, args, folder, logFile }: Command): Promise<Child> {
  const log = openSync(logFile, 'a')
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], {
    cwd: folder,
    stdio: ['ignore', log, log],
    env: { PATH: process.env.PATH, HOME: folder },
  })
  closeSync(log)
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const { promise: spawned, resolve, reject } = Promise.withResolvers<void>()
  let state: ChildState = 'running'
  child.once('spawn', resolve).once('error', reject)
  child.once('exit', () => {
    state = 'ended'
    end()
  })
  await spawned
  const { pid } = child
  if (pid === undefined) throw new Error(`${name} has started without a process id`)
  return {
    name,
    pid,
    ended,
    get state() {
      return state
    },
    pause: () => {
      if (state === 'running' && child.kill('SIGSTOP')) state = 'paused'
    },
    resume: () => {
      if (state === 'paused' && child.kill('SIGCONT')) state = 'running'
    },
    kill: async () => {
      if (state !== 'ended') child.kill('SIGKILL')
      await ended
    },
    logTail: (lines = 8) => readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n'),
  }
}

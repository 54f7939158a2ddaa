import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** From what is seen first of a process's end to its exit status, in milliseconds. */
const DEATH_MS = 500

export type StartOptions = {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** The one core that it may run on; needs `taskset`. */
  readonly core?: number | undefined
}

/** A child process with everything under it. */
export type Child = {
  readonly pid: number
  /** A time of `performance.now()`, right before it was started. */
  readonly startedAt: number
  /** What it has written so far, both streams. */
  readonly output: () => string
  readonly signal: (name: NodeJS.Signals) => void
  /** Rejects with what it has written when it ends before `task` does. */
  readonly whileAlive: <T>(task: Promise<T>) => Promise<T>
  /** Resolves when it has ended: its exit code, undefined where a signal ended it. */
  readonly exitCode: Promise<number | undefined>
  /** Asks it to end, and makes it after 10 s. */
  readonly stop: () => Promise<void>
}

/** Starts processes, and ends those that are left when this one ends, however it does. */
export class Processes implements AsyncDisposable {
  readonly #running = new Set<ChildProcess>()

  constructor() {
    process.once('exit', () => {
      for (const child of this.#running) killGroup(child, 'SIGKILL')
    })
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(130))
  }

  start([command, ...args]: readonly [string, ...string[]], { cwd, env, core }: StartOptions = {}): Child {
    const pinned = core === undefined ? [command, ...args] : ['taskset', '-c', String(core), command, ...args]
    const [file = command, ...rest] = pinned
    const startedAt = performance.now()
    const child = spawn(file, rest, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const { pid } = child
    if (pid === undefined) throw new Error(`cannot start ${command}`)
    this.#running.add(child)
    child.once('exit', () => this.#running.delete(child))
    return { ...childOf(child, [command, ...args].join(' ')), pid, startedAt }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map(stop))
  }
}

function childOf(child: ChildProcess, title: string): Omit<Child, 'pid' | 'startedAt'> {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-100_000)
    })
  }
  const exited = once(child, 'exit')
  const ended = exited.then(([code, signal]) => {
    throw new Error(`${title} ended (${signal ?? code}):\n${output}`)
  })
  ended.catch(() => undefined)
  return {
    output: () => output,
    signal: (name) => void child.kill(name),
    whileAlive: async (task) => {
      try {
        return await Promise.race([task, ended])
      } catch (error) {
        // A connection that breaks may be the first that is seen of its end.
        await Promise.race([ended, sleep(DEATH_MS)])
        throw error
      }
    },
    exitCode: exited.then(([code]) => code ?? undefined),
    stop: () => stop(child),
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  killGroup(child, 'SIGTERM')
  const force = setTimeout(() => killGroup(child, 'SIGKILL'), 10_000)
  await gone
  clearTimeout(force)
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It ended by itself.
  }
}

/** A port of 127.0.0.1 that nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/**
 * Tries until `attempt` resolves to something, every `everyMs`; a rejection counts as nothing.
 * @throws Error after `limitMs`, with the last rejection as its cause
 */
export async function until<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
  { limitMs = 60_000, everyMs = 20 }: { readonly limitMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const end = performance.now() + limitMs
  let last: unknown
  while (performance.now() < end) {
    try {
      const value = await attempt()
      if (value !== undefined) return value
    } catch (error) {
      last = error
    }
    await sleep(everyMs)
  }
  throw new Error(`${what}: not within ${limitMs} ms`, { cause: last })
}

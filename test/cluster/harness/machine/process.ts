// Programs that outlive the process that started them. A file keeps the pid and the time of the start, so that a pid
// that was given to another program meanwhile is not taken for it.
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../../api/harness/until.ts'
import { SYSTEM_PATH } from './run.ts'

export type Launch = {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

const fileOf = (folder: string, name: string) => join(folder, `${name}.pid`)
const logFileOf = (folder: string, name: string): string => join(folder, 'logs', `${name}.log`)

/** What /proc/PID/stat says after the program's name: state (Z has ended), …, start time in clock ticks. */
function statOf(pid: number): { state: string; startedAt: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0] ?? '', startedAt: fields[19] ?? '' }
  } catch {
    return undefined
  }
}

/**
 * Whether a process lives; one that has ended and that nobody has waited for yet does not. It does as long as one of its
 * threads does: until then its ports are taken.
 */
export function isAlive(pid: number): boolean {
  const stat = statOf(pid)
  return stat !== undefined && (stat.state !== 'Z' || threadsOf(pid) > 1)
}

function threadsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length
  } catch {
    return 0
  }
}

/** The pid of the program of that name in the folder, or undefined where it does not run. */
export function runningPid(folder: string, name: string): number | undefined {
  const file = fileOf(folder, name)
  if (!existsSync(file)) return undefined
  const [pid = '', startedAt] = readFileSync(file, 'utf8').trim().split(' ')
  return isAlive(Number(pid)) && statOf(Number(pid))?.startedAt === startedAt ? Number(pid) : undefined
}

/** Starts a program in a session of its own; what it writes goes to `logs/NAME.log`, after what is there. */
export async function launch(folder: string, { name, program, args, env = {} }: Launch): Promise<number> {
  const running = runningPid(folder, name)
  if (running !== undefined) return running
  const log = openSync(logFileOf(folder, name), 'a')
  const child = spawn(program, args, {
    cwd: folder,
    detached: true,
    stdio: ['ignore', log, log],
    env: { PATH: SYSTEM_PATH, HOME: folder, ...env },
  })
  closeSync(log)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  child.once('spawn', resolve).once('error', reject)
  await promise
  child.unref()
  const { pid } = child
  if (pid === undefined) throw new Error(`${name} has started without a process id`)
  await writeFile(fileOf(folder, name), `${pid} ${statOf(pid)?.startedAt}\n`)
  return pid
}

const GRACE_MS = 10_000

/** Ends the program by the signal, and by SIGKILL where that has not ended it after 10 s; resolves when it is gone. */
export async function end(folder: string, name: string, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
  const pid = runningPid(folder, name)
  if (pid !== undefined) {
    process.kill(pid, signal)
    await until(`${name} has ended`, () => !isAlive(pid), GRACE_MS).catch(async () => {
      if (isAlive(pid)) process.kill(pid, 'SIGKILL')
      await until(`${name} has ended`, () => !isAlive(pid), GRACE_MS)
    })
  }
  await rm(fileOf(folder, name), { force: true })
}

/** @throws Error where it does not run */
export function signalTo(folder: string, name: string, signal: 'SIGSTOP' | 'SIGCONT'): void {
  const pid = runningPid(folder, name)
  if (pid === undefined) throw new Error(`${name} does not run`)
  process.kill(pid, signal)
}

/** The last lines it wrote. */
export function logTail(folder: string, name: string, lines = 12): string {
  const file = logFileOf(folder, name)
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : ''
}

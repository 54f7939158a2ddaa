import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os'

export type Machine = {
  readonly cores: number
  readonly cpu: string
  readonly memoryGiB: number
  readonly platform: string
  readonly node: string
}

/** What the figures depend on; nothing that tells whose machine it is. */
export const machine = (): Machine => ({
  cores: availableParallelism(),
  cpu: cpus()[0]?.model.trim() || 'unknown',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  platform: `${platform()} ${arch()}`,
  node: process.version,
})

/** Cores for the two sides of a measurement; undefined where processes cannot be pinned. */
export type Cores = { readonly server: number; readonly client: number }

/** Moves this process, and what it starts from now on, to the client's core. Undo gives it all cores back. */
export function pinClient(): { readonly cores: Cores | undefined; readonly undo: () => void } {
  const pin = (list: string): void => {
    execFileSync('taskset', ['-a', '-c', '-p', list, String(process.pid)], { stdio: 'ignore' })
  }
  const count = cpus().length
  try {
    if (count < 2) return { cores: undefined, undo: () => undefined }
    pin('1')
    return { cores: { server: 0, client: 1 }, undo: () => pin(`0-${count - 1}`) }
  } catch {
    // No taskset, or not these cores: the measurement says that it was not pinned.
    return { cores: undefined, undo: () => undefined }
  }
}

/** Milliseconds of CPU that a process has used, all threads; Linux only, in steps of 10. */
export function cpuMs(pid: number): number {
  const stat = procFile(pid, 'stat')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Resident memory of a process, in MB; Linux only. */
export const residentMb = (pid: number): number =>
  (Number(/^VmRSS:\s+(\d+) kB/m.exec(procFile(pid, 'status'))?.[1]) * 1024) / 1e6

/** The most that it was so far. */
export const peakResidentMb = (pid: number): number =>
  (Number(/^VmHWM:\s+(\d+) kB/m.exec(procFile(pid, 'status'))?.[1]) * 1024) / 1e6

function procFile(pid: number, name: string): string {
  return platform() === 'linux' ? readFileSync(`/proc/${pid}/${name}`, 'utf8') : ''
}

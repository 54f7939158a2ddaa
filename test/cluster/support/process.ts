import { readFileSync } from 'node:fs'

/** When a process of the machine was started, in ms since the epoch, to 10 ms: the kernel tells ticks since the boot. */
export function startedAt(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  return Date.now() - uptime * 1000 + ticks * 10
}

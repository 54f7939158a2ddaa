import { readFileSync } from 'node:fs'

/** How often the kernel has killed a process for the memory of the container of that process, as either cgroup tells. */
export function outOfMemoryKills(pid: number): number {
  const text = readFileSync(eventsFile(readFileSync(`/proc/${pid}/cgroup`, 'utf8')), 'utf8')
  const count = /^oom_kill (\d+)$/m.exec(text)?.[1]
  if (count === undefined) throw new Error(`the kernel does not count what it kills: ${text}`)
  return Number(count)
}

/** @param lines what /proc/PID/cgroup says: `HIERARCHY:CONTROLLERS:PATH`, the hierarchy of version 2 without controllers */
function eventsFile(lines: string): string {
  const first = /^\d+:(?:[^:]+,)?memory(?:,[^:]+)?:(.*)$/m.exec(lines)?.[1]
  if (first !== undefined) return `/sys/fs/cgroup/memory${first}/memory.oom_control`
  const second = /^0::(.*)$/m.exec(lines)?.[1]
  return `/sys/fs/cgroup${second}/memory.events`
}

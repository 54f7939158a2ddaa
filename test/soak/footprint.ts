import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { platform } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { childrenOf } from '../../bench/lib/at-rest.ts'

/** What a process holds of the machine: known on Linux, nothing elsewhere. */
export type Footprint = {
  /** Open files, pipes and sockets, without TCP connections: whether one that rests is open is up to its other side. */
  readonly descriptors: number
  /** Files and directories that it watches by inotify. */
  readonly watches: number
  readonly children: number
}

/** @throws Error when there is no such process */
export function footprintOf(pid: number): Footprint {
  if (platform() !== 'linux') return { descriptors: 0, watches: 0, children: 0 }
  const tcp = tcpSockets(pid)
  const links = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    const link = orNothing(() => readlinkSync(`/proc/${pid}/fd/${fd}`))
    return link === undefined || tcp.has(link) ? [] : [{ fd, link }]
  })
  const watches = links
    .filter(({ link }) => link === 'anon_inode:inotify')
    .flatMap(({ fd }) => orNothing(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.match(/^inotify /gm) ?? [])
  return { descriptors: links.length, watches: watches.length, children: childrenOf(pid).length }
}

/** What it holds when that has been the same for a while, or after `limitMs`. */
export async function footprintAtRest(pid: number, { restMs = 300, limitMs = 10_000 } = {}): Promise<Footprint> {
  const end = performance.now() + limitMs
  let [last, since] = [footprintOf(pid), performance.now()]
  while (performance.now() < end && performance.now() - since < restMs) {
    await sleep(20)
    const now = footprintOf(pid)
    if (JSON.stringify(now) !== JSON.stringify(last)) [last, since] = [now, performance.now()]
  }
  return last
}

/** Differences between the most and the least that it held. */
export function spreadOf(footprints: readonly Footprint[]): Footprint {
  const differ = (pick: (of: Footprint) => number): number =>
    Math.max(...footprints.map(pick)) - Math.min(...footprints.map(pick))
  return {
    descriptors: differ(({ descriptors }) => descriptors),
    watches: differ(({ watches }) => watches),
    children: differ(({ children }) => children),
  }
}

function tcpSockets(pid: number): ReadonlySet<string> {
  const lines = ['tcp', 'tcp6'].flatMap((table) =>
    (orNothing(() => readFileSync(`/proc/${pid}/net/${table}`, 'utf8')) ?? '').trim().split('\n').slice(1),
  )
  return new Set(lines.map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`))
}

/** What `read` gives; undefined when what it reads has gone meanwhile. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const QUIET_MS = 12
const EVERY_MS = 4
/** Where there is no /proc, and at most otherwise. */
const LIMIT_MS = 3_000

type Look = { readonly pids: readonly number[]; readonly ranNs: string; readonly isAsleep: boolean }

/** The child processes of a process now; none where there is no /proc. */
export function childrenOf(pid: number): readonly number[] {
  const text = readProc(`${pid}/task/${pid}/children`)
  return text.split(' ').filter(Boolean).map(Number)
}

/**
 * Waits until a process has that many children, not the same ones as `before`, and none of them has run for a while: what
 * it started is ready. Looks from outside, and so takes nothing from it.
 */
export async function childrenAtRest(pid: number, children: number, before: readonly number[] = []): Promise<void> {
  const end = performance.now() + LIMIT_MS
  let last = lookAt(pid)
  let since = performance.now()
  while (performance.now() < end) {
    await sleep(EVERY_MS)
    const now = lookAt(pid)
    const isThere = now.pids.length === children && !(children > 0 && isSame(now.pids, before))
    const isQuiet = isThere && now.isAsleep && now.ranNs === last.ranNs
    if (!isQuiet) since = performance.now()
    else if (performance.now() - since >= QUIET_MS) return
    last = now
  }
}

const isSame = (some: readonly number[], others: readonly number[]): boolean =>
  some.length === others.length && some.every((pid) => others.includes(pid))

function lookAt(pid: number): Look {
  const pids = childrenOf(pid)
  return {
    pids,
    ranNs: pids.map((child) => `${child}:${readProc(`${child}/schedstat`).split(' ')[0]}`).join(' '),
    isAsleep: pids.every((child) => stateOf(child) === 'S'),
  }
}

/** Whether it runs or sleeps; one that ended and was not waited for does not. */
export function isAlive(pid: number): boolean {
  const state = stateOf(pid)
  return state !== undefined && state !== 'Z' && state !== 'X'
}

function stateOf(pid: number): string | undefined {
  const stat = readProc(`${pid}/stat`)
  return stat[stat.lastIndexOf(')') + 2]
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8').trim()
  } catch {
    // It ended between two looks.
    return ''
  }
}

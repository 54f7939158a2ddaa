import { readdirSync, rmdirSync } from 'node:fs'
import { readdir, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { until } from '../../api/harness/until.ts'
import { ctr } from './images/images.ts'
import { restoreKernelSettings, takeDownNetwork } from './machine/network.ts'
import { end, isAlive, runningPid } from './machine/process.ts'
import { linesOf, run, tryRun } from './machine/run.ts'
import {
  BUILDAH_FILES,
  leftoversSince,
  mountsOf,
  podCgroups,
  processesOf,
  SHARED_FOLDERS,
  type Snapshot,
  takeSnapshot,
} from './machine/snapshot.ts'
import { COMPONENTS } from './setup/components.ts'
import { NETWORK, nodeFolder } from './setup/layout.ts'
import { snapshotBefore } from './up.ts'

/**
 * Stops the node and removes all that it made: its pods, mounts, network, cgroups and folder.
 * @returns what is left behind all the same, one line each
 */
export async function takeDown(folder: string = nodeFolder()): Promise<readonly string[]> {
  const before = await snapshotBefore(folder)
  if (before === undefined) {
    await rm(folder, { recursive: true, force: true })
    return []
  }
  for (const component of [...COMPONENTS].reverse()) {
    if (component === 'containerd') await removeTasks(folder)
    await end(folder, component)
  }
  await endAll(folder)
  for (const mount of mountsOf(folder).toReversed()) await tryRun('umount', ['--lazy', mount])
  await removeNetworkNamespaces()
  await takeDownNetwork(before.tables)
  await restoreKernelSettings(before.settings)
  removeCgroups()
  await removeSharedFiles(folder, before)
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  return leftoversSince(before, await takeSnapshot(folder))
}

async function removeTasks(folder: string): Promise<void> {
  if (runningPid(folder, 'containerd') === undefined) return
  const tasks = linesOf(await ctr(folder, ['tasks', 'ls', '-q']).catch(() => ''))
  await Promise.all(tasks.map((id) => ctr(folder, ['tasks', 'rm', '--force', id]).catch(() => undefined)))
}

const GONE_MS = 15_000

/** Shims outlive containerd, and what runs in a pod outlives a shim. */
async function endAll(folder: string): Promise<void> {
  for (const { pid } of processesOf(folder)) {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  }
  await until('the processes of the node have ended', () => processesOf(folder).length === 0, GONE_MS)
}

async function removeNetworkNamespaces(): Promise<void> {
  const names = await readdir('/run/netns').catch(() => [])
  for (const name of names.filter((one) => one.startsWith('cni-'))) await tryRun('ip', ['netns', 'del', name])
}

/** Deepest first, since a cgroup with another in it stays. */
function removeCgroups(): void {
  const remove = (path: string) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) remove(join(path, entry.name))
    }
    rmdirSync(path)
  }
  podCgroups().forEach(remove)
}

/** A folder that was not there before goes; in one that was, only what bears the node's mark. */
async function removeSharedFiles(folder: string, before: Snapshot): Promise<void> {
  for (const path of SHARED_FOLDERS) {
    if (!before.files.includes(path)) await rm(path, { recursive: true, force: true })
  }
  for (const path of BUILDAH_FILES) {
    if (before.files.includes(path)) continue
    await rm(path, { force: true })
    // Their folders too, where buildah made them: one that holds something else stays.
    for (const parent of [dirname(path), dirname(dirname(path))]) await rmdir(parent).catch(() => undefined)
  }
  for (const name of await readdir('/var/lib/cni/results').catch(() => [])) {
    if (name.startsWith(`${NETWORK.name}-`)) await rm(join('/var/lib/cni/results', name))
  }
  for (const link of await readdir('/var/log/containers').catch(() => [])) {
    const path = join('/var/log/containers', link)
    const target = await run('readlink', [path]).catch(() => '')
    if (target.startsWith(folder)) await rm(path)
  }
}

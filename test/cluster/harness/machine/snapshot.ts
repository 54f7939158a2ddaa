// What a node changes on its machine outside its folder, so that taking it down can be checked.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kernelSettings, nftTables, ownRules } from './network.ts'

/** Lists of names; what a list has now and had not before was left behind. */
export type Snapshot = {
  readonly processes: readonly string[]
  readonly mounts: readonly string[]
  readonly links: readonly string[]
  readonly rules: readonly string[]
  readonly tables: readonly string[]
  readonly cgroups: readonly string[]
  readonly files: readonly string[]
  readonly settings: readonly string[]
}

/** Folders that containerd, CNI and kubelet use wherever their own lie. */
export const SHARED_FOLDERS = [
  '/run/netns',
  '/run/containerd',
  '/var/lib/cni',
  '/var/lib/kubelet',
  '/var/log/pods',
  '/var/log/containers',
  '/usr/libexec/kubernetes',
  '/opt/containerd',
  '/opt/cni',
] as const

/** Folders of other programs too, in which buildah leaves these files whatever its store is. */
export const BUILDAH_FILES = ['/etc/cni/net.d/cni.lock', '/var/lib/containers/cache/blob-info-cache-v1.boltdb'] as const

export async function takeSnapshot(folder: string): Promise<Snapshot> {
  return {
    processes: processesOf(folder).map(({ pid, what }) => `${pid} ${what}`),
    mounts: mountsOf(folder),
    links: readdirSync('/sys/class/net').filter((name) => /^(veth|midflight)/.test(name)),
    rules: await ownRules(),
    tables: await nftTables(),
    cgroups: podCgroups(),
    files: [
      ...SHARED_FOLDERS.flatMap((path) => (existsSync(path) ? [path, ...below(path, 2)] : [])),
      ...BUILDAH_FILES.filter((path) => existsSync(path)),
    ],
    settings: await kernelSettings(),
  }
}

/** What is there now and was not before, one line each. */
export function leftoversSince(before: Snapshot, now: Snapshot): readonly string[] {
  const names = Object.keys(now) as (keyof Snapshot)[]
  return names.flatMap((name) => {
    const known = new Set(before[name])
    return now[name].filter((one) => !known.has(one)).map((one) => `${name}: ${one}`)
  })
}

function below(path: string, depth: number): string[] {
  if (depth === 0) return []
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const inner = join(path, entry.name)
    return [inner, ...(entry.isDirectory() ? below(inner, depth - 1) : [])]
  })
}

const textOf = (file: string) => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** The programs of the node in this folder, their shims and what runs in its pods; this process is not among them. */
export function processesOf(folder: string): readonly { readonly pid: number; readonly what: string }[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .flatMap((pid) => {
      const words = textOf(`/proc/${pid}/cmdline`).split('\0')
      const isProgram = PROGRAMS.test(words[0] ?? '') && words.some((word) => word.includes(folder))
      return isProgram || isInPod(pid) ? [{ pid, what: words.join(' ').trim().slice(0, 200) }] : []
    })
}

const PROGRAMS = /(^|\/)(containerd|containerd-shim-runc-v2|etcd|coredns|kubelet|kube-[a-z-]+|kubectl)$/

const isInPod = (pid: number) => /:\/?kubepods[./]/m.test(textOf(`/proc/${pid}/cgroup`).replaceAll('//', '/'))

/** Below the folder, and the network namespaces that CNI has made. */
export const mountsOf = (folder: string): readonly string[] =>
  textOf('/proc/mounts')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((target) => target.startsWith(`${folder}/`) || /^(\/var)?\/run\/netns\/cni-/.test(target))

const CGROUPS = '/sys/fs/cgroup'

/** The cgroups of all pods: one for each controller of v1, one for v2. */
export const podCgroups = (): readonly string[] =>
  [CGROUPS, ...readdirSync(CGROUPS).map((name) => join(CGROUPS, name))]
    .map((path) => join(path, 'kubepods'))
    .filter((path) => existsSync(path))

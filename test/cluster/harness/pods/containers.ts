import { ctr } from '../images/images.ts'
import { linesOf, run } from '../machine/run.ts'

export type ContainerName = { readonly namespace: string; readonly pod: string; readonly container: string }

/** A container of a pod, as containerd has it; kubelet and the API server need not be up to see it. */
export type Container = ContainerName & {
  readonly id: string
  /** Of its first process, on the machine. */
  readonly pid: number
  readonly status: 'RUNNING' | 'PAUSED' | 'STOPPED' | 'CREATED' | 'UNKNOWN'
}

const LABELS = {
  namespace: 'io.kubernetes.pod.namespace',
  pod: 'io.kubernetes.pod.name',
  container: 'io.kubernetes.container.name',
} as const

/** The containers that match and have a process, without those that only hold a pod's namespaces. */
export async function containersOf(folder: string, wanted: Partial<ContainerName>): Promise<readonly Container[]> {
  const filter = Object.entries(wanted).map(
    ([name, value]) => `labels."${LABELS[name as keyof ContainerName]}"==${value}`,
  )
  const ids = linesOf(await ctr(folder, ['containers', 'ls', '-q', ...(filter.length ? [filter.join(',')] : [])]))
  const tasks = new Map(
    linesOf(await ctr(folder, ['tasks', 'ls'])).map((line) => {
      const [id = '', pid, status] = line.trim().split(/\s+/)
      return [id, { pid: Number(pid), status: (status ?? 'UNKNOWN') as Container['status'] }]
    }),
  )
  const found = await Promise.all(
    ids.map(async (id) => {
      const task = tasks.get(id)
      const text = await ctr(folder, ['containers', 'info', id]).catch(() => undefined)
      const labels = text === undefined ? {} : (JSON.parse(text) as { Labels: Record<string, string> }).Labels
      const container = labels[LABELS.container]
      if (task === undefined || container === undefined) return []
      return [{ id, ...task, container, namespace: labels[LABELS.namespace] ?? '', pod: labels[LABELS.pod] ?? '' }]
    }),
  )
  return found.flat()
}

/** @throws Error where it has no running process */
export async function containerOf(folder: string, name: ContainerName): Promise<Container> {
  const all = await containersOf(folder, name)
  const running = all.find(({ status }) => status === 'RUNNING' || status === 'PAUSED')
  if (running === undefined) throw new Error(`${name.namespace}/${name.pod} has no running container ${name.container}`)
  return running
}

/** Stops every process of the container where it is, by the freezer, or lets them go on. */
export async function setFrozen(folder: string, { id }: Container, isFrozen: boolean): Promise<void> {
  await ctr(folder, ['tasks', isFrozen ? 'pause' : 'resume', id])
}

/** Runs a program of the machine in the container's network: ip, nft, tc and the like. @returns what it printed */
export const inNetworkOf = ({ pid }: Container, command: readonly string[]): Promise<string> =>
  run('nsenter', ['--target', String(pid), '--net', ...command])

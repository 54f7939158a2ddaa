import { until } from '../../api/harness/until.ts'
import type { ClusterNode } from '../harness/node.ts'

/** A pod of an AgentRuntime. */
export type RuntimePod = {
  readonly name: string
  readonly uid: string
  readonly ip: string
  readonly isReady: boolean
  readonly isLeaving: boolean
  readonly restarts: number
}

/** What stays the same as long as nothing was restarted. */
export type Identity = { readonly uid: string; readonly pid: number; readonly restarts: number }

export const RUNTIME_CONTAINER = 'runtime'

type Pods = {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string }
    readonly status: {
      readonly podIP?: string
      readonly conditions?: readonly { readonly type: string; readonly status: string }[]
      readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number }[]
    }
  }[]
}

/** The pods of an AgentRuntime, by name; leaving ones too. */
export async function runtimePods(node: ClusterNode, namespace: string, runtime: string): Promise<RuntimePod[]> {
  const query = `labelSelector=${encodeURIComponent(`midflight.dev/runtime=${runtime}`)}`
  const { items } = await node.call<Pods>('GET', `/api/v1/namespaces/${namespace}/pods?${query}`)
  const pods = items.map(({ metadata, status }) => ({
    name: metadata.name,
    uid: metadata.uid,
    ip: status.podIP ?? '',
    isReady: status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false,
    isLeaving: metadata.deletionTimestamp !== undefined,
    restarts: status.containerStatuses?.find(({ name }) => name === RUNTIME_CONTAINER)?.restartCount ?? 0,
  }))
  return pods.sort((a, b) => a.name.localeCompare(b.name))
}

/** Waits until the AgentRuntime has exactly so many pods, all of them ready and none leaving. */
export async function readyPods(
  node: ClusterNode,
  { namespace, runtime }: { readonly namespace: string; readonly runtime: string },
  count: number,
  ms = 90_000,
): Promise<readonly RuntimePod[]> {
  let last: readonly RuntimePod[] = []
  const are = async () => {
    last = await runtimePods(node, namespace, runtime)
    return last.length === count && last.every(({ isReady, isLeaving }) => isReady && !isLeaving) ? last : undefined
  }
  return until(`${runtime} has ${count} ready pods`, are, ms).catch((error: unknown) => {
    throw new Error(`${String(error)}; there are ${JSON.stringify(last)}`)
  })
}

/** By pod: its uid, the process id of its runtime on the machine, and how often that was restarted. */
export async function identities(
  node: ClusterNode,
  namespace: string,
  runtime: string,
): Promise<Readonly<Record<string, Identity>>> {
  const pods = await runtimePods(node, namespace, runtime)
  const found = await Promise.all(
    pods.map(async ({ name, uid, restarts }) => {
      const { pid } = await node.containers.get({ namespace, pod: name, container: RUNTIME_CONTAINER })
      return [name, { uid, pid, restarts }] as const
    }),
  )
  return Object.fromEntries(found)
}

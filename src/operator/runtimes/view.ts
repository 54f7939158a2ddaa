import type { KubeObject } from '../../kube/types.ts'
import type { ManagedView } from '../ports.ts'
import { isPodOf, podSelector } from './owned.ts'
import { deploymentTrouble, podTrouble } from './trouble.ts'

export type ManagedInput = Pick<ManagedView, 'replicas' | 'problems'> & {
  /** Of the AgentRuntime. */
  readonly name: string
  readonly deployment: KubeObject | undefined
  /** Pods that have its label. */
  readonly pods: readonly KubeObject[]
}

/** What is to be said of pods that the operator runs, but for what they say themselves. Pure. */
export function managedView({ name, replicas, problems, deployment, pods }: ManagedInput): ManagedView {
  const own = pods.filter((pod) => isPodOf(pod, name) && pod.metadata.deletionTimestamp === undefined && !hasEnded(pod))
  return {
    replicas,
    selector: Object.entries(podSelector(name))
      .map(([label, value]) => `${label}=${value}`)
      .join(','),
    problems,
    stuck: deployment && deploymentTrouble(deployment),
    pods: new Map(own.map((pod) => [pod.metadata.name, podTrouble(pod)] as const).sort(([a], [b]) => (a < b ? -1 : 1))),
  }
}

/** One that was evicted stays, and another is in its place. */
const hasEnded = ({ status }: KubeObject): boolean => {
  const { phase } = (status ?? {}) as { readonly phase?: unknown }
  return phase === 'Failed' || phase === 'Succeeded'
}

export const isSameView = (a: ManagedView | undefined, b: ManagedView | undefined): boolean => textOf(a) === textOf(b)

const textOf = (view: ManagedView | undefined): string => JSON.stringify(view && { ...view, pods: [...view.pods] })

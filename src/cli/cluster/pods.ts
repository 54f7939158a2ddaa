import type { KubeObject } from '../../kube/index.ts'
// Not by way of the index: knowing what a runtime's pods are called does not need what an operator is.
import { isPodOf, podSelector } from '../../operator/runtimes/owned.ts'
import { at, isRecord, listAt, textAt } from './objects.ts'

/** Labels that the pods of an AgentRuntime have: those that it adopts, else those that the operator gives them. */
export function selectorOf(runtime: KubeObject): Readonly<Record<string, string>> {
  const adopted = at(runtime, 'spec', 'adopt', 'selector', 'matchLabels')
  if (!isRecord(adopted)) return podSelector(runtime.metadata.name)
  return Object.fromEntries(Object.entries(adopted).map(([key, value]) => [key, String(value)]))
}

export const isAdopting = (runtime: KubeObject): boolean => isRecord(at(runtime, 'spec', 'adopt'))

/** `a=b,c=d` */
export const selectorText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')

/** Pods of an AgentRuntime among those of its namespace. One that only carries the label of another's pods is none. */
export function podsOf(runtime: KubeObject, pods: readonly KubeObject[]): readonly KubeObject[] {
  const wanted = Object.entries(selectorOf(runtime))
  const { name, namespace } = runtime.metadata
  return pods
    .filter(({ metadata }) => metadata.namespace === namespace)
    .filter(({ metadata: { labels = {} } }) => wanted.every(([key, value]) => labels[key] === value))
    .filter((pod) => isAdopting(runtime) || isPodOf(pod, name))
}

/** Kubernetes' condition Ready, of a pod that is not on its way out. */
export const isPodReady = (pod: KubeObject): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  listAt(pod, 'status', 'conditions').some((each) => at(each, 'type') === 'Ready' && at(each, 'status') === 'True')

/** What a pod is doing, in the words of `kubectl get pods`. */
export function podPhase(pod: KubeObject): string {
  if (pod.metadata.deletionTimestamp !== undefined) return 'Terminating'
  const waiting = listAt(pod, 'status', 'containerStatuses')
    .map((each) => textAt(each, 'state', 'waiting', 'reason') ?? textAt(each, 'state', 'terminated', 'reason'))
    .find((reason) => reason !== undefined)
  return waiting ?? textAt(pod, 'status', 'reason') ?? textAt(pod, 'status', 'phase') ?? 'Unknown'
}

export const restartsOf = (pod: KubeObject): number =>
  listAt(pod, 'status', 'containerStatuses').reduce<number>((sum, each) => {
    const count = at(each, 'restartCount')
    return sum + (typeof count === 'number' ? count : 0)
  }, 0)

/** The container that runs the runtime: the one of that name, else the first. */
export function runtimeContainer(pod: KubeObject): unknown {
  const containers = listAt(pod, 'spec', 'containers')
  return containers.find((each) => at(each, 'name') === 'runtime') ?? containers[0]
}

const API_PORT = 7777

/** Port of the agents' API: the one that is called `http`, else 7777. */
export function apiPortOf(pod: KubeObject): number {
  const ports = listAt(pod, 'spec', 'containers').flatMap((container) => listAt(container, 'ports'))
  const port = at(
    ports.find((each) => at(each, 'name') === 'http'),
    'containerPort',
  )
  return typeof port === 'number' ? port : API_PORT
}

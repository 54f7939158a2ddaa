import { API_VERSION } from '../../api/index.ts'
import type { KubeObject, ResourceType } from '../../kube/types.ts'

/** What an AgentRuntime whose pods the operator runs is made of, in the order in which it is written. */
export const CHILD_TYPES = {
  ServiceAccount: { group: '', version: 'v1', plural: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true },
  NetworkPolicy: {
    group: 'networking.k8s.io',
    version: 'v1',
    plural: 'networkpolicies',
    kind: 'NetworkPolicy',
    namespaced: true,
  },
  Service: { group: '', version: 'v1', plural: 'services', kind: 'Service', namespaced: true },
  PodDisruptionBudget: {
    group: 'policy',
    version: 'v1',
    plural: 'poddisruptionbudgets',
    kind: 'PodDisruptionBudget',
    namespaced: true,
  },
  Deployment: { group: 'apps', version: 'v1', plural: 'deployments', kind: 'Deployment', namespaced: true },
} as const satisfies Readonly<Record<string, ResourceType>>
export type ChildKind = keyof typeof CHILD_TYPES
export const CHILD_KINDS = Object.keys(CHILD_TYPES) as readonly ChildKind[]

/** Label of everything that belongs to an AgentRuntime, its pods too: its value is the AgentRuntime's name. */
export const RUNTIME_LABEL = 'midflight.dev/runtime'
export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by'
export const MANAGED_BY = 'midflight'

/** Prefix of labels and annotations that nobody else may give to the pods. */
export const OWN_PREFIX = 'midflight.dev/'

/** Name of the Deployment, the Service and the others. */
export const childName = (runtime: string): string => `${runtime}-runtime`

/** Name of the Secret with one part of its boot set. */
export const bootSecretName = (runtime: string, slot: number): string => `midflight-${runtime}-boot-${slot}`

/** What selects the pods of an AgentRuntime. */
export const podSelector = (runtime: string): Readonly<Record<string, string>> => ({ [RUNTIME_LABEL]: runtime })

/** Labels of everything that belongs to an AgentRuntime. */
export const labelsOf = (runtime: string): Readonly<Record<string, string>> => ({
  'app.kubernetes.io/name': 'midflight-runtime',
  'app.kubernetes.io/instance': runtime,
  [MANAGED_BY_LABEL]: MANAGED_BY,
  ...podSelector(runtime),
})

export type OwnerReference = {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

/** What makes an object go with its AgentRuntime. */
export const ownerReference = ({ name, uid }: { readonly name: string; readonly uid: string }): OwnerReference => ({
  apiVersion: API_VERSION,
  kind: 'AgentRuntime',
  name,
  uid,
  controller: true,
  blockOwnerDeletion: true,
})

/** The one owner that decides what becomes of an object. */
export function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  const owners = metadata.ownerReferences
  if (!Array.isArray(owners)) return undefined
  return (owners as readonly OwnerReference[]).find(({ controller }) => controller === true)
}

/** An AgentRuntime's own: it controls it, or nobody does and it has its labels. */
export function isOwnedBy(object: KubeObject, { name, uid }: { readonly name: string; readonly uid: string }): boolean {
  const controller = controllerOf(object)
  if (controller !== undefined) return controller.uid === uid
  const { labels = {} } = object.metadata
  return labels[MANAGED_BY_LABEL] === MANAGED_BY && labels[RUNTIME_LABEL] === name
}

/**
 * Whether a pod comes from the Deployment of an AgentRuntime: its ReplicaSet is named after the Deployment and the
 * pod's own hash. Whoever may create pods can write that too; the certificate is what a pod has to show.
 */
export function isPodOf(pod: KubeObject, runtime: string): boolean {
  const controller = controllerOf(pod)
  const hash = pod.metadata.labels?.['pod-template-hash']
  return controller?.kind === 'ReplicaSet' && controller.name === `${childName(runtime)}-${hash}`
}

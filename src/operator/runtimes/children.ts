import { type AgentRuntimeSpec, hashJson, type Problem } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { templateFor } from './kept.ts'
import { CHILD_TYPES, type ChildKind, childName, labelsOf, ownerReference, podSelector } from './owned.ts'
import { clashesOf } from './passthrough.ts'
import { type Image, PORTS, PROGRESS_SECONDS } from './template.ts'

/** Where the operator runs, and what pods are made from unless an AgentRuntime says otherwise. */
export type Installation = {
  /** The operator's own namespace. */
  readonly namespace: string
  /** Whether the operator is a pod of this cluster: outside one, no policy can tell who calls. */
  readonly isInCluster: boolean
  readonly image: string | undefined
  readonly imagePullPolicy: string | undefined
}

export type ChildrenInput = {
  readonly runtime: { readonly namespace: string; readonly name: string; readonly uid: string }
  readonly spec: AgentRuntimeSpec
  readonly installation: Installation
  /** The AgentRuntime's Deployment as it is; undefined where there is none. */
  readonly present: KubeObject | undefined
}

/** What is to become of one object. */
export type Intent =
  | { readonly type: 'apply'; readonly object: KubeObject }
  /** It stays as it is, if it is there. */
  | { readonly type: 'keep' }
  | { readonly type: 'delete' }

export type Children = {
  readonly intents: Readonly<Record<ChildKind, Intent>>
  /** Why something cannot be as declared. */
  readonly problems: readonly Problem[]
}

/** Hash of all that was applied last: what is not wanted any more is in no comparison of fields. */
export const APPLIED = 'midflight.dev/applied'

const DELETE: Intent = { type: 'delete' }
const KEEP: Intent = { type: 'keep' }

/** An AgentRuntime that takes running pods has nothing of its own. */
export const NO_CHILDREN: Children = {
  intents: {
    ServiceAccount: DELETE,
    NetworkPolicy: DELETE,
    Service: DELETE,
    PodDisruptionBudget: DELETE,
    Deployment: DELETE,
  },
  problems: [],
}

/** What is declared cannot be read: everything stays. */
export const UNCHANGED: Children = {
  intents: { ServiceAccount: KEEP, NetworkPolicy: KEEP, Service: KEEP, PodDisruptionBudget: KEEP, Deployment: KEEP },
  problems: [],
}

/**
 * What the pods of an AgentRuntime are made from. Pure: the same input gives the same objects, to the byte. What is
 * declared in the same way leaves the pods that there are as they are, whichever version of the operator made them.
 */
export function childrenOf(input: ChildrenInput): Children {
  const { runtime, spec, installation, present } = input
  const image = imageOf(spec, installation)
  const problems = [...clashesOf(runtime.name, spec), ...(image === undefined ? [NO_IMAGE] : [])]
  const apply = (kind: ChildKind, body: object): Intent => ({ type: 'apply', object: objectOf(kind, runtime, body) })
  const isUsed = accountOf(present) === childName(runtime.name)
  const selector = { matchLabels: podSelector(runtime.name) }
  return {
    intents: {
      ServiceAccount:
        spec.serviceAccountName === undefined
          ? apply('ServiceAccount', { automountServiceAccountToken: false })
          : { type: isUsed ? 'keep' : 'delete' },
      NetworkPolicy: apply('NetworkPolicy', { spec: policyOf(selector, installation) }),
      Service: apply('Service', { spec: serviceOf(runtime.name) }),
      PodDisruptionBudget:
        spec.replicas > 1 ? apply('PodDisruptionBudget', { spec: { ...ONE_AT_A_TIME, selector } }) : DELETE,
      Deployment: image !== undefined && problems.length === 0 ? deploymentOf(input, image) : KEEP,
    },
    problems,
  }
}

/** Pods that are not Ready serve nobody: they must not keep a node from being drained. */
const ONE_AT_A_TIME = { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' }

const NO_IMAGE: Problem = {
  reason: 'InvalidSpec',
  message:
    'spec.image: is missing, and this operator was started without --runtime-image: name the image of the pods in one of them',
  path: 'spec.image',
}

function imageOf(spec: AgentRuntimeSpec, { image, imagePullPolicy }: Installation): Image | undefined {
  if (spec.image !== undefined) return { image: spec.image, pullPolicy: spec.imagePullPolicy }
  return image === undefined ? undefined : { image, pullPolicy: spec.imagePullPolicy ?? imagePullPolicy }
}

const serviceOf = (name: string) => ({
  selector: podSelector(name),
  sessionAffinity: 'ClientIP',
  ports: [{ name: 'http', port: PORTS.http, targetPort: 'http', protocol: 'TCP' }],
})

function policyOf(podSelectorOfAll: object, { namespace, isInCluster }: Installation) {
  const operators = {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    podSelector: {
      matchLabels: { 'app.kubernetes.io/name': 'midflight', 'app.kubernetes.io/component': 'operator' },
    },
  }
  const tcp = (...ports: readonly number[]) => ports.map((port) => ({ port, protocol: 'TCP' }))
  return {
    podSelector: podSelectorOfAll,
    policyTypes: ['Ingress'],
    ingress: [
      { ports: tcp(PORTS.http, PORTS.metrics) },
      { ports: tcp(PORTS.management), ...(isInCluster && { from: [operators] }) },
    ],
  }
}

function deploymentOf({ runtime, spec, present }: ChildrenInput, image: Image): Intent {
  const { name, namespace } = runtime
  const { template, annotations } = templateFor(present, { name, namespace, spec, image, bundles: spec.bundles })
  const body = {
    spec: {
      replicas: spec.replicas,
      selector: { matchLabels: podSelector(name) },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: 0 } },
      progressDeadlineSeconds: PROGRESS_SECONDS,
      template,
    },
  }
  return { type: 'apply', object: objectOf('Deployment', runtime, body, annotations) }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** The ServiceAccount of the pods that a Deployment makes. */
function accountOf(deployment: KubeObject | undefined): unknown {
  const spec = deployment?.spec
  const template = isRecord(spec) ? spec.template : undefined
  const pod = isRecord(template) ? template.spec : undefined
  return isRecord(pod) ? pod.serviceAccountName : undefined
}

function objectOf(
  kind: ChildKind,
  { namespace, name, uid }: ChildrenInput['runtime'],
  body: object,
  annotations: Readonly<Record<string, string>> = {},
): KubeObject {
  const { group, version } = CHILD_TYPES[kind]
  const object = {
    apiVersion: group === '' ? version : `${group}/${version}`,
    kind,
    metadata: {
      name: childName(name),
      namespace,
      labels: labelsOf(name),
      ownerReferences: [ownerReference({ name, uid })],
    },
    ...body,
  }
  const applied = hashJson({ ...object, annotations })
  return { ...object, metadata: { ...object.metadata, annotations: { ...annotations, [APPLIED]: applied } } }
}

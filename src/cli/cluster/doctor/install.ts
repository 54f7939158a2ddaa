import { crdOf, KINDS, type Kind } from '../../../api/index.ts'
import type { KubeObject, ResourceType } from '../../../kube/index.ts'
import { at, isRecord, KIND_NAMES, listAt, textAt } from '../objects.ts'
import { isPodReady, podPhase, runtimeContainer } from '../pods.ts'
import { ageText } from '../text.ts'
import { type Finding, fail, ok, skip, warn } from './finding.ts'
import type { Read, Reader } from './reader.ts'

const CRDS: ResourceType = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
}
const INSTALL_CRDS = 'midflight crds | kubectl apply --server-side -f -'

/** Whether the four kinds are there, as this version of midflight has them. */
export async function checkCrds(reader: Reader): Promise<readonly Finding[]> {
  return Promise.all(
    KIND_NAMES.map(async (kind) => judgeCrd(kind, await reader.get(CRDS, `${KINDS[kind].plural}.midflight.dev`))),
  )
}

export function judgeCrd(kind: Kind, read: Read<KubeObject | undefined>): Finding {
  const check = `CRD ${KINDS[kind].plural}`
  if (read.type === 'refused') return skip(check, read.why)
  if (read.value === undefined) return fail(check, 'is not installed', INSTALL_CRDS)
  const established = listAt(read.value, 'status', 'conditions').find((each) => at(each, 'type') === 'Established')
  if (at(established, 'status') !== 'True') {
    const why = textAt(established, 'message') ?? 'the API server has not accepted it yet'
    return fail(check, why, `kubectl describe crd ${read.value.metadata.name}`)
  }
  const place = differenceOf(crdOf(kind).spec, read.value.spec)
  if (place === undefined) return ok(check, 'installed, and as this version of midflight has it')
  return warn(check, `differs from what this version of midflight has, at ${place}`, INSTALL_CRDS)
}

/**
 * Where what is installed differs; undefined where it does not. The API server adds fields with its defaults, but
 * properties of a schema only come from whoever wrote it.
 */
export function differenceOf(wanted: unknown, there: unknown, path = 'spec'): string | undefined {
  if (Array.isArray(wanted)) {
    // An empty list is not kept.
    if (wanted.length === 0 && there === undefined) return undefined
    if (!Array.isArray(there) || there.length !== wanted.length) return path
    return first(wanted.map((each, index) => differenceOf(each, there[index], `${path}[${index}]`)))
  }
  if (!isRecord(wanted)) return wanted === there ? undefined : path
  if (!isRecord(there)) return path
  const isClosed = path.endsWith('.properties')
  const added = isClosed ? Object.keys(there).find((key) => !Object.hasOwn(wanted, key)) : undefined
  if (added !== undefined) return `${path}.${added}`
  return first(Object.entries(wanted).map(([key, value]) => differenceOf(value, there[key], `${path}.${key}`)))
}

const first = (found: readonly (string | undefined)[]): string | undefined => found.find((each) => each !== undefined)

const DEPLOYMENTS: ResourceType = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
}
const LEASES: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
}
const PODS: ResourceType = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true }
const OPERATOR_LABELS = 'app.kubernetes.io/name=midflight,app.kubernetes.io/component=operator'
const LEASE_PREFIX = 'midflight-operator-'

/** What is known of the operator: where it is, who it is, what it runs. */
export type OperatorFacts = {
  readonly namespace: string | undefined
  /** `system:serviceaccount:NAMESPACE:NAME` */
  readonly account: string | undefined
  /** Those that it is told to watch; empty: all. */
  readonly watched: readonly string[]
  readonly images: readonly string[]
}

export type OperatorCheck = { readonly findings: readonly Finding[]; readonly facts: OperatorFacts }

export type OperatorLook = {
  /** Where it is; absent: anywhere. */
  readonly namespace: string | undefined
  /** What is looked at; absent: all namespaces. Of several operators the one that watches it counts. */
  readonly about: string | undefined
  /** Of this command. */
  readonly version: string
  /** Milliseconds since 1970. */
  readonly now: number
}

/** The operator's Deployment, pods and Lease. */
export async function checkOperator(
  reader: Reader,
  { namespace, about, version, now }: OperatorLook,
): Promise<OperatorCheck> {
  const selection = { namespace, labelSelector: OPERATOR_LABELS }
  const [deployments, pods, leases] = await Promise.all([
    reader.list(DEPLOYMENTS, selection),
    reader.list(PODS, selection),
    reader.list(LEASES, { namespace }),
  ])
  const held = leases.type === 'read' ? leases.value.filter(isOperatorLease) : []
  const facts = factsOf({ deployments, pods, leases: held }, about)
  return {
    facts,
    findings: [
      ...judgeDeployments(deployments, pods, { version, hasLease: held.length > 0 }),
      ...judgeLeases(leases, held, now),
    ],
  }
}

const isOperatorLease = ({ metadata }: KubeObject): boolean => metadata.name.startsWith(LEASE_PREFIX)

type Found = {
  readonly deployments: Read<readonly KubeObject[]>
  readonly pods: Read<readonly KubeObject[]>
  readonly leases: readonly KubeObject[]
}

const watches = (object: KubeObject, namespace: string | undefined): boolean => {
  const watched = watchedBy(object)
  return watched.length === 0 || (namespace !== undefined && watched.includes(namespace))
}

function factsOf({ deployments, pods, leases }: Found, about: string | undefined): OperatorFacts {
  const all = deployments.type === 'read' ? deployments.value : []
  const deployment = all.find((each) => watches(each, about)) ?? all[0]
  const found = (pods.type === 'read' ? pods.value : []).filter(
    ({ metadata }) => deployment === undefined || metadata.namespace === deployment.metadata.namespace,
  )
  const namespace = (deployment ?? found[0] ?? leases[0])?.metadata.namespace
  const account =
    textAt(deployment, 'spec', 'template', 'spec', 'serviceAccountName') ??
    textAt(found[0], 'spec', 'serviceAccountName')
  return {
    namespace,
    account: account === undefined ? undefined : `system:serviceaccount:${namespace}:${account}`,
    watched: watchedBy(deployment ?? found[0]),
    images: [...new Set(found.flatMap((pod) => textAt(runtimeContainer(pod), 'image') ?? []))].sort(),
  }
}

/** `--namespaces=a,b` of an operator's Deployment or pod. */
export function watchedBy(object: KubeObject | undefined): readonly string[] {
  const spec = at(object, 'spec', 'template', 'spec') ?? at(object, 'spec')
  const args = listAt(spec, 'containers').flatMap((container) => listAt(container, 'args').map(String))
  const flag = args.findIndex((arg) => /^--namespaces(=|$)/.test(arg))
  const [, given = args[flag + 1]] = args[flag]?.split('=') ?? []
  return flag < 0 ? [] : (given ?? '').split(',').filter(Boolean)
}

function judgeDeployments(
  deployments: Read<readonly KubeObject[]>,
  pods: Read<readonly KubeObject[]>,
  { version, hasLease }: { readonly version: string; readonly hasLease: boolean },
): readonly Finding[] {
  if (deployments.type === 'refused') return [skip('operator', deployments.why)]
  if (deployments.value.length === 0) {
    if (hasLease) return [warn('operator', 'no Deployment has its labels: it runs elsewhere, its Lease is below')]
    return [
      fail(
        'operator',
        'there is none in this cluster',
        'helm install midflight charts/midflight --namespace midflight-system --create-namespace',
      ),
    ]
  }
  return [
    ...deployments.value.map((each) => judgeDeployment(each, version)),
    ...(pods.type === 'read' ? judgeOperatorPods(pods.value) : []),
  ]
}

function judgeDeployment({ metadata, spec, status }: KubeObject, version: string): Finding {
  const check = `operator ${metadata.namespace}/${metadata.name}`
  const wanted = Number(at(spec, 'replicas') ?? 1)
  const ready = Number(at(status, 'readyReplicas') ?? 0)
  const scale = `kubectl scale deployment ${metadata.name} -n ${metadata.namespace} --replicas=2`
  if (wanted === 0) return fail(check, 'is scaled to 0: nothing that changes is served', scale)
  const message = `${ready} of ${wanted} pods are Ready`
  const told = metadata.labels?.['app.kubernetes.io/version'] ?? version
  if (ready === wanted && told !== version)
    return warn(check, `${message}, of version ${told}; this is ${version}`, 'bring both to one version: helm upgrade')
  if (ready === wanted) return ok(check, `${message}, of version ${told}`)
  const look = `kubectl describe pods -n ${metadata.namespace} -l ${OPERATOR_LABELS}`
  return ready === 0 ? fail(check, message, look) : warn(check, message, look)
}

function judgeOperatorPods(pods: readonly KubeObject[]): readonly Finding[] {
  const images = new Set(pods.map((pod) => textAt(runtimeContainer(pod), 'image')))
  const broken = pods.filter((pod) => !isPodReady(pod))
  return [
    ...broken.map(({ metadata, ...pod }) =>
      warn(
        'operator pod',
        `${metadata.name} is ${podPhase({ metadata, ...pod })}`,
        `kubectl logs ${metadata.name} -n ${metadata.namespace}`,
      ),
    ),
    ...(images.size > 1 ? [warn('operator pod', `pods run different images: ${[...images].join(', ')}`)] : []),
  ]
}

/** A holder renews every 2 s; a Lease lasts 15 s. */
const STALE_MS = 30_000

function judgeLeases(
  leases: Read<readonly KubeObject[]>,
  held: readonly KubeObject[],
  now: number,
): readonly Finding[] {
  if (leases.type === 'refused') return [skip('lease', leases.why)]
  if (held.length === 0)
    return [fail('lease', 'no operator has ever been at work: there is no Lease midflight-operator-…')]
  return held.map((lease) => judgeLease(lease, now))
}

export function judgeLease({ metadata, spec }: KubeObject, now: number): Finding {
  const check = `lease ${metadata.namespace}/${metadata.name}`
  const holder = textAt(spec, 'holderIdentity')
  const logs = `kubectl logs -n ${metadata.namespace} -l ${OPERATOR_LABELS} --tail=50`
  if (holder === undefined) return fail(check, 'nobody holds it: no operator is at work', logs)
  const age = now - Date.parse(textAt(spec, 'renewTime') ?? '')
  if (age <= STALE_MS) return ok(check, `${holder} is at work`)
  const since = Number.isFinite(age) ? ageText(age) : 'an unknown time'
  return fail(
    check,
    `${holder} has not renewed it for ${since} (as it is with --leader-election false): no operator is at work`,
    logs,
  )
}

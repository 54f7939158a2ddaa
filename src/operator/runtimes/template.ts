import { type AgentRuntimeSpec, BOOT_SLOTS, bootPartFile, DRAIN_SECONDS, hashText } from '../../api/index.ts'
import { bootSecretName, childName, labelsOf } from './owned.ts'
import { BUNDLE_VOLUME, FILES, TEMPORARY, VOLUMES } from './passthrough.ts'

export const PORTS = { http: 7777, management: 7778, metrics: 9464 } as const

/** How long the container goes on as before when its pod leaves: until no proxy sends it anything new. */
const PRE_STOP_SECONDS = 5
/** What an end takes besides the time for what is under way and for the final scrape. */
const END_SECONDS = 10
/**
 * How long a pod that interrupted runs waits for its metrics to be scraped once more: one of Prometheus' intervals of
 * 30 s, and what it may be late.
 */
const FINAL_SCRAPE_SECONDS = 35
/** Where kubelet reads the message of a container's end. */
const TERMINATION_LOG = '/dev/termination-log'
/** How long new pods may take to become Ready before it is told. */
export const PROGRESS_SECONDS = 300
/** A process that does not answer is restarted after this time at the earliest. */
const STARTUP_SECONDS = 60
const LIVENESS_SECONDS = 10
/** Longest name of a volume. */
const MAX_VOLUME_NAME = 63

/** The image of the runtime's container, and when it is pulled; undefined: as Kubernetes does without being told. */
export type Image = { readonly image: string; readonly pullPolicy: string | undefined }

/** A bundle whose ConfigMap is mounted. */
export type Mounted = { readonly name: string; readonly configMap: string }

export type TemplateInput = {
  /** Of the AgentRuntime. */
  readonly name: string
  readonly namespace: string
  readonly spec: AgentRuntimeSpec
  readonly image: Image
  readonly bundles: readonly Mounted[]
}

/** The pods of an AgentRuntime as its Deployment describes them. */
export function podTemplate(input: TemplateInput) {
  const { name, spec } = input
  const { pod = {} } = spec
  return {
    metadata: {
      labels: { ...pod.labels, ...labelsOf(name) },
      ...(pod.annotations && { annotations: pod.annotations }),
    },
    spec: {
      serviceAccountName: spec.serviceAccountName ?? childName(name),
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: PRE_STOP_SECONDS + drainSecondsOf(spec) + FINAL_SCRAPE_SECONDS + END_SECONDS,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [containerOf(input)],
      volumes: [...volumesOf(input), ...(pod.volumes ?? [])],
      ...placementOf(pod),
    },
  }
}

function placementOf(pod: NonNullable<AgentRuntimeSpec['pod']>) {
  const { imagePullSecrets, nodeSelector, tolerations, affinity, topologySpreadConstraints, priorityClassName } = pod
  const given = {
    imagePullSecrets,
    nodeSelector,
    tolerations,
    affinity,
    topologySpreadConstraints,
    priorityClassName,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

const drainSecondsOf = ({ drainSeconds = DRAIN_SECONDS }: AgentRuntimeSpec): number => drainSeconds

function containerOf(input: TemplateInput) {
  const { spec, image, bundles } = input
  const pullPolicy = image.pullPolicy === undefined ? {} : { imagePullPolicy: image.pullPolicy }
  return {
    name: 'runtime',
    image: image.image,
    ...pullPolicy,
    args: argumentsOf(input),
    env: [
      { name: 'MIDFLIGHT_POD_UID', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.uid' } } },
      // Not as arguments: an older image, which does not know them, goes without.
      { name: 'MIDFLIGHT_FINAL_SCRAPE_SECONDS', value: String(FINAL_SCRAPE_SECONDS) },
      { name: 'MIDFLIGHT_TERMINATION_LOG', value: TERMINATION_LOG },
      ...(spec.env ?? []),
    ],
    ports: Object.entries(PORTS).map(([port, containerPort]) => ({ name: port, containerPort, protocol: 'TCP' })),
    ...(spec.resources && { resources: spec.resources }),
    // On a node without CPU to spare all pods answer late together: none of them may be taken out of the Service for it.
    readinessProbe: { ...probeOf('/readyz?wait', 1), failureThreshold: 3, timeoutSeconds: 3 },
    // No startup probe: the others would wait for its second, and a pod would be Ready that much later.
    livenessProbe: {
      ...probeOf('/healthz', LIVENESS_SECONDS),
      initialDelaySeconds: STARTUP_SECONDS - 2 * LIVENESS_SECONDS,
      failureThreshold: 3,
      timeoutSeconds: 5,
    },
    terminationMessagePath: TERMINATION_LOG,
    lifecycle: { preStop: { sleep: { seconds: PRE_STOP_SECONDS } } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
    volumeMounts: [
      { name: VOLUMES.temporary, mountPath: TEMPORARY },
      ...(hasKey(spec) ? [mountOf(VOLUMES.key)] : []),
      mountOf(VOLUMES.management),
      mountOf(VOLUMES.boot),
      // The directory as a whole: what is mounted by a subPath never changes.
      ...bundles.map((bundle) => ({
        name: volumeOf(bundle),
        mountPath: directoryOf(bundle),
        readOnly: true,
      })),
      ...(spec.pod?.volumeMounts ?? []),
    ],
  }
}

const mountOf = (volume: string) => ({ name: volume, mountPath: `${FILES}/${volume}`, readOnly: true })

const probeOf = (path: string, periodSeconds: number) => ({ httpGet: { path, port: 'metrics' }, periodSeconds })

const hasKey = ({ auth }: AgentRuntimeSpec): boolean => auth?.type !== 'none'

function argumentsOf({ name, namespace, spec, bundles }: TemplateInput): string[] {
  const management = `${FILES}/${VOLUMES.management}`
  return [
    'runtime',
    // Pods of a cluster have addresses of IPv4, of IPv6, or of both.
    ...['--host', '::'],
    ...(hasKey(spec)
      ? ['--auth-key-file', `${FILES}/${VOLUMES.key}/key`]
      : ['--insecure-no-auth', ...hostsOf(name, namespace, spec).flatMap((host) => ['--allow-host', host])]),
    ...['--management-host', '::'],
    ...['--management-token-file', `${management}/token`, '--management-token-file', `${management}/nextToken`],
    ...['--management-cert', `${management}/tls.crt`, '--management-key', `${management}/tls.key`],
    ...['--boot-set', `${FILES}/${VOLUMES.boot}`],
    ...['--drain-seconds', String(drainSecondsOf(spec))],
    ...bundles.flatMap((bundle) => ['--bundle', `${bundle.name}=${directoryOf(bundle)}`]),
  ]
}

/** Names under which callers reach pods without a key: those of the Service, and those that are declared. */
const hostsOf = (name: string, namespace: string, { auth }: AgentRuntimeSpec): string[] => [
  ...new Set([...namesOfService(name, namespace), ...(auth?.hosts ?? [])]),
]

/** As pods of the cluster call it: of its own namespace, of others, and in full where the cluster's domain is the usual one. */
function namesOfService(name: string, namespace: string): string[] {
  const service = childName(name)
  const inCluster = `${service}.${namespace}.svc`
  return [service, `${service}.${namespace}`, inCluster, `${inCluster}.cluster.local`]
}

function volumesOf({ name, spec, bundles }: TemplateInput) {
  const secret = (volume: string, secretName: string) => ({ name: volume, secret: { secretName } })
  return [
    { name: VOLUMES.temporary, emptyDir: {} },
    ...(hasKey(spec) ? [secret(VOLUMES.key, `${childName(name)}-key`)] : []),
    secret(VOLUMES.management, `${childName(name)}-management`),
    { name: VOLUMES.boot, projected: { sources: Array.from({ length: BOOT_SLOTS }, (_, n) => bootSource(name, n)) } },
    ...bundles.map((bundle) => ({ name: volumeOf(bundle), configMap: { name: bundle.configMap, optional: true } })),
  ]
}

const bootSource = (name: string, slot: number) => ({
  secret: {
    name: bootSecretName(name, slot),
    optional: true,
    items: [{ key: bootPartFile(slot), path: bootPartFile(slot) }],
  },
})

const BUNDLES = `${FILES}/bundles/`

const directoryOf = ({ name }: Mounted): string => `${BUNDLES}${name}`

/** Name of the bundle that is mounted at a path of the container, in the template of any version. */
export const bundleMountedAt = (path: string): string | undefined =>
  path.startsWith(BUNDLES) ? path.slice(BUNDLES.length) : undefined

/** A name that is too long for a volume ends in its hash. */
function volumeOf({ name }: Mounted): string {
  const volume = `${BUNDLE_VOLUME}${name}`
  if (volume.length <= MAX_VOLUME_NAME) return volume
  return `${volume.slice(0, MAX_VOLUME_NAME - 9)}-${hashText(name).slice(0, 8)}`
}

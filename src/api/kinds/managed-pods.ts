import { z } from 'zod'
import { freeObject, listByName, setOf, text, withRules } from './common.ts'

/** Most pods of one AgentRuntime. */
export const MAX_REPLICAS = 1000

/** Most labels or annotations that are passed on to pods. */
const MAX_KEYS = 64

/** An amount as Kubernetes writes it: `500m`, `1Gi`, 2. */
const quantity = () => z.union([z.string().max(64), z.int().nonnegative()]).meta({ 'x-kubernetes-int-or-string': true })

const amounts = () => z.record(z.string().max(253), quantity()).meta({ maxProperties: 32 })
const keys = () => z.record(z.string().max(317), z.string().max(4096)).meta({ maxProperties: MAX_KEYS })

/** Objects of Kubernetes' own types: the API server checks them when the Deployment is written. */
const passedOn = (what: string) =>
  z.array(freeObject()).max(64).meta({ 'x-kubernetes-list-type': 'atomic' }).describe(what)

const namedPassedOn = (what: string) =>
  listByName(
    z
      .looseObject({ name: text(253).describe('Name of the volume') })
      .meta({ 'x-kubernetes-preserve-unknown-fields': true }),
  ).describe(what)

const resources = z.strictObject({
  requests: amounts().optional().describe('What is set aside for each pod'),
  limits: amounts().optional().describe('What each pod may take at most'),
})

const environmentVariable = withRules(
  z.strictObject({
    name: z
      .string()
      .min(1)
      .max(253)
      .regex(/^[A-Za-z_][A-Za-z0-9_.-]*$/, 'must be the name of an environment variable')
      .describe('Name of the variable'),
    value: text(32_768).optional().describe('Value of the variable'),
    valueFrom: freeObject().optional().describe('Where its value is taken from, as in a pod: secretKeyRef, fieldRef …'),
  }),
  [
    {
      rule: '!(has(self.value) && has(self.valueFrom))',
      message: 'has value or valueFrom, not both',
      holds: ({ value, valueFrom }) => value === undefined || valueFrom === undefined,
    },
  ],
)

const pod = z.strictObject({
  labels: keys().optional().describe('Labels of the pods besides the operator’s own'),
  annotations: keys().optional().describe('Annotations of the pods'),
  imagePullSecrets: listByName(z.strictObject({ name: text(253).describe('Name of the Secret') }), 16)
    .optional()
    .describe('Secrets that pulling the image takes'),
  nodeSelector: z
    .record(z.string().max(317), z.string().max(63))
    .optional()
    .meta({ maxProperties: 16 })
    .describe('Labels of the nodes that the pods may run on'),
  tolerations: passedOn('Taints that the pods tolerate').optional(),
  affinity: freeObject().optional().describe('Where the pods go, beside what'),
  topologySpreadConstraints: passedOn('How the pods are spread').optional(),
  priorityClassName: text(253).optional().describe('PriorityClass of the pods'),
  volumes: namedPassedOn('Volumes besides the operator’s own').optional(),
  volumeMounts: passedOn('Where the runtime’s container mounts them').optional(),
})

const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/

const auth = withRules(
  z.strictObject({
    type: z
      .enum(['key', 'none'])
      .describe(
        'key: callers present the key in Secret NAME-runtime-key, which is generated; none: everybody may call',
      ),
    hosts: setOf(z.string().min(1).max(253).regex(HOST_NAME, 'must be a host name such as agents.example.com'))
      .optional()
      .describe('Host names under which callers may reach the pods, besides those of the Service; only with type none'),
  }),
  [
    {
      rule: "self.type == 'none' || !has(self.hosts)",
      message: 'hosts belongs to type none: with a key callers may use any name',
      holds: ({ type, hosts }) => type === 'none' || hosts === undefined,
    },
  ],
)

/** The part of an AgentRuntime that decides how its pods are run. A change to it rolls them, but for `replicas`. */
export const managedPods = {
  image: text(512).min(1).optional().describe('Image of the pods; without it, that of the operator'),
  imagePullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'])
    .optional()
    .describe('When a named image is pulled; without image, as the operator’s'),
  resources: resources.optional().describe('What the runtime’s container asks for and may take'),
  serviceAccountName: text(253).optional().describe('ServiceAccount of the pods; without it, one without any rights'),
  env: listByName(environmentVariable).optional().describe('Environment variables of the runtime’s container'),
  drainSeconds: z
    .int()
    .min(0)
    .max(3600)
    .optional()
    .describe('How long runs under way may go on when a pod leaves; default 300'),
  pod: pod.optional().describe('What else stands in the pods, in Kubernetes’ own words'),
  auth: auth.optional().describe('Who may call the agents, on port 7777; default type key'),
}

/** Fields that mean nothing for pods that are adopted: somebody else runs those. */
export const MANAGED_FIELDS = Object.keys(managedPods) as readonly (keyof typeof managedPods)[]

/** How long runs under way may go on when a pod leaves, in seconds, unless the AgentRuntime says otherwise. */
export const DRAIN_SECONDS = 300

const HOST = /^(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/
/** URLs take a host whose last label is a number for an IPv4 address, however it is written. */
const ENDS_IN_NUMBER = /(^|\.)([0-9]+|0[xX][0-9A-Fa-f]*)$/
const ADDRESS = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()])

/** A host that URLs may name: `llm.team-a.svc`, `*.example.com`, an address, or a range in CIDR form. */
const allowedHost = () =>
  z
    .string()
    .min(1)
    .max(253)
    .refine((host) => (HOST.test(host) && !ENDS_IN_NUMBER.test(host)) || ADDRESS.safeParse(host).success, {
      message: 'must be a host name, *.domain, an IP address or a range such as 10.0.0.0/8',
    })

export const network = z.strictObject({
  allow: setOf(allowedHost())
    .default([])
    .describe(
      'Hosts in loopback and private networks that URLs of this object may name: names, *.domain, addresses, CIDR',
    ),
})
export type NetworkSpec = z.output<typeof network>

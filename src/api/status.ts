import { z } from 'zod'
import { dnsLabel, listByName, text } from './kinds/common.ts'
import { HASH_PATTERN } from './revision.ts'

/** Longest message of a condition or a failure, in characters; whoever writes a status cuts what is longer. */
export const MAX_STATUS_MESSAGE = 1024
/** Most failures, and most refused revisions, that one status holds. */
export const MAX_FAILURES = 10
/** Most pods that the status of an AgentRuntime lists. */
export const MAX_STATUS_PODS = 50
/** Most bundles that the status of an AgentRuntime lists, in the order in which tool names are looked up. */
export const MAX_STATUS_BUNDLES = 256
/** First characters of a revision that stand for it where people read it. */
export const SHORT_REVISION = 8

/**
 * In the order in which they are shown. Reconciling and Stalled are abnormal-true, as kstatus reads them, and absent
 * unless they are True: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
 */
export const CONDITION_TYPES = ['Accepted', 'Ready', 'Available', 'Reconciling', 'Stalled'] as const

const REASON = /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/
const reasonText = () => z.string().min(1).max(64).regex(REASON)
const messageText = () => text(MAX_STATUS_MESSAGE).describe('What is the case, for people, and what mends it')
const hashText = () => z.string().max(32).regex(HASH_PATTERN)
const objectName = () => text(253)
const count = () => z.int().min(0).max(2_147_483_647)
const generation = () => z.int().min(0)

/** metav1.Condition, with this project's types. */
const condition = z.strictObject({
  type: z.enum(CONDITION_TYPES).describe('Accepted, Ready, Available, Reconciling or Stalled'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether it is the case'),
  observedGeneration: generation().describe('metadata.generation of the object that this was said of'),
  lastTransitionTime: text(64).meta({ format: 'date-time' }).describe('When status changed last'),
  reason: reasonText().describe('Why, in one word for programs'),
  message: messageText(),
})
export type Condition = z.output<typeof condition>
export type StatusConditionType = Condition['type']

const place = {
  file: text(512).optional().describe('File of a bundle where it went wrong'),
  line: z.int().min(1).max(2_147_483_647).optional().describe('Line of the file, from 1'),
  column: z.int().min(1).max(2_147_483_647).optional().describe('Column of the line, from 1'),
}

const failure = z.strictObject({
  pod: objectName().describe('Pod that refused, or that does not answer'),
  reason: reasonText().describe('Why, in one word for programs'),
  message: messageText(),
  ...place,
})
export type Failure = z.output<typeof failure>

const common = {
  observedGeneration: generation().optional().describe('metadata.generation that this status speaks of'),
  conditions: z
    .array(condition)
    .max(8)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
    .describe('Accepted: the spec can be served; Ready: every pod serves it; Available: some version serves'),
  revision: z
    .strictObject({
      desired: hashText().optional().describe('Hash of the spec as it is declared; absent while it is impossible'),
      short: text(SHORT_REVISION).optional().describe('First characters of desired'),
      lastGood: hashText().optional().describe('Last revision that all pods served'),
    })
    .optional()
    .describe('What should serve and what last did'),
  failures: z
    .array(failure)
    .max(MAX_FAILURES)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'atomic' })
    .describe('Pods that refused it or do not answer, at most 10'),
}

/** Schema of the status of an Agent, a Team and a Workflow: what the pods acknowledged. */
export const itemStatus = z.strictObject({
  ...common,
  digest: hashText()
    .optional()
    .describe('Hash of all that serves: spec, files and settings, as the pods report it; absent while they differ'),
  pods: z
    .strictObject({ summary: text(32).describe('Pods that serve the desired revision, of all pods of the runtime') })
    .optional()
    .describe('How many pods serve it'),
  rejected: z
    .array(hashText())
    .max(MAX_FAILURES)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'atomic' })
    .describe('Revisions that pods refused, the newest last, at most 10'),
})
export type ItemStatus = z.output<typeof itemStatus>

const bundleStatus = z.strictObject({
  name: dnsLabel().describe('Name of the bundle'),
  configMap: objectName().describe('ConfigMap that holds the files'),
  hash: hashText().optional().describe('Hash of the files that should serve; absent while there are none to use'),
  lastGood: hashText().optional().describe('Last hash that all pods served'),
  rejected: hashText().optional().describe('The hash that pods refused, while it is the one that should serve'),
  error: z
    .strictObject({
      reason: reasonText().describe('Why, in one word for programs'),
      message: messageText(),
      ...place,
    })
    .optional()
    .describe('Why the files do not serve'),
})
export type BundleStatus = z.output<typeof bundleStatus>

const podStatus = z.strictObject({
  name: objectName().describe('Name of the pod'),
  ready: z.boolean().describe('Condition Ready of the pod'),
  complete: z.boolean().describe('Whether the pod has been given everything that it should serve'),
  link: z.enum(['Connecting', 'Reachable', 'Unreachable']).describe('How the pod answers'),
  reason: reasonText().optional().describe('What is wrong with it, in one word for programs'),
  message: messageText().optional(),
})
export type PodStatus = z.output<typeof podStatus>

/** Schema of the status of an AgentRuntime. */
export const runtimeStatus = z.strictObject({
  ...common,
  replicas: count().optional().describe('Pods of the runtime'),
  readyReplicas: count().optional().describe('Pods that are Ready and have been given everything'),
  selector: text(253).optional().describe('Labels of the pods that the operator runs, for autoscalers'),
  podSummary: text(32).optional().describe('readyReplicas/replicas, such as 3/3'),
  bundles: listByName(bundleStatus, MAX_STATUS_BUNDLES).optional().describe('What became of each bundle of files'),
  pods: z
    .array(podStatus)
    .max(MAX_STATUS_PODS)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'atomic' })
    .describe('Pods, the worst first, at most 50'),
})
export type RuntimeStatus = z.output<typeof runtimeStatus>

import type { Kind } from '../kinds/resource.ts'

/** One column of `kubectl get`; those of priority 1 show with `-o wide`. */
type Column = {
  readonly name: string
  readonly type: 'string' | 'date'
  readonly jsonPath: string
  readonly description?: string
  readonly priority?: number
}

const readyPart = (part: string) => `.status.conditions[?(@.type=="Ready")].${part}`

const RUNTIME: Column = { name: 'Runtime', type: 'string', jsonPath: '.spec.runtime' }
const PODS: Column = {
  name: 'Pods',
  type: 'string',
  jsonPath: '.status.pods.summary',
  description: 'Pods that serve the desired revision, of all pods of the runtime',
}
const READY: readonly Column[] = [
  { name: 'Ready', type: 'string', jsonPath: readyPart('status') },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
]
const WHY: readonly Column[] = [
  { name: 'Reason', type: 'string', jsonPath: readyPart('reason'), priority: 1 },
  { name: 'Message', type: 'string', jsonPath: readyPart('message'), priority: 1 },
]
const DESIRED: Column = { name: 'Desired', type: 'string', jsonPath: '.status.revision.desired', priority: 1 }

/** What `kubectl get` prints of each kind. A column cannot cut a text, so the revision shows as `short`. */
export const COLUMNS: Readonly<Record<Kind, readonly Column[]>> = {
  AgentRuntime: [
    {
      name: 'Pods',
      type: 'string',
      jsonPath: '.status.podSummary',
      description: 'Pods that are Ready and have been given everything, of all pods',
    },
    ...READY,
    ...WHY,
  ],
  Agent: [
    RUNTIME,
    { name: 'Model', type: 'string', jsonPath: '.spec.model' },
    {
      name: 'Revision',
      type: 'string',
      jsonPath: '.status.revision.short',
      description: 'First characters of the desired revision',
    },
    PODS,
    ...READY,
    DESIRED,
    ...WHY,
  ],
  Team: [RUNTIME, { name: 'Mode', type: 'string', jsonPath: '.spec.mode' }, PODS, ...READY, DESIRED, ...WHY],
  Workflow: [RUNTIME, PODS, ...READY, DESIRED, ...WHY],
}

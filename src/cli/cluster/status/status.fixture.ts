import { API_VERSION, type Kind } from '../../../api/index.ts'
import type { KubeObject } from '../../../kube/index.ts'
import type { Contents, Seen } from './report.ts'

const TIME = '2026-01-01T00:00:00Z'

export type Told = {
  readonly generation?: number
  readonly observed?: number
  readonly ready?: 'True' | 'False'
  readonly reason?: string
  readonly message?: string
  /** Besides Accepted and Ready. */
  readonly beside?: 'Stalled' | 'Reconciling'
  readonly desired?: string
  readonly lastGood?: string
  readonly spec?: object
  readonly status?: object
  readonly metadata?: object
}

const condition = (type: string, status: string, more: object = {}) => ({
  type,
  status,
  observedGeneration: 1,
  lastTransitionTime: TIME,
  reason: 'Served',
  message: 'every pod serves it',
  ...more,
})

export const hash = (letter: string): string => letter.repeat(32)

/** An object with the status that an operator writes; Ready unless told otherwise. */
export function object(kind: Kind, name: string, told: Told = {}): KubeObject {
  const { generation = 1, observed = generation, ready = 'True', reason, message, beside } = told
  const { desired = hash('a'), lastGood = desired } = told
  const why = { ...(reason === undefined ? {} : { reason }), ...(message === undefined ? {} : { message }) }
  return {
    apiVersion: API_VERSION,
    kind,
    metadata: { name, namespace: 'team', generation, uid: `uid-${name}`, ...told.metadata },
    spec: told.spec ?? {},
    status: {
      observedGeneration: observed,
      conditions: [condition('Ready', ready, why), ...(beside === undefined ? [] : [condition(beside, 'True', why)])],
      revision: { desired, short: desired.slice(0, 8), lastGood },
      ...told.status,
    },
  }
}

/** What is seen in a namespace. @param contents by name of the ConfigMap */
export const seen = (
  objects: readonly KubeObject[],
  contents: Readonly<Record<string, Contents>> = {},
  events: readonly KubeObject[] = [],
): Seen => {
  const of = (kind: Kind) => objects.filter((each) => each.kind === kind)
  return {
    objects: { AgentRuntime: of('AgentRuntime'), Agent: of('Agent'), Team: of('Team'), Workflow: of('Workflow') },
    contents: (key) => contents[key.replace('team/', '')] ?? { type: 'unknown' },
    events,
  }
}

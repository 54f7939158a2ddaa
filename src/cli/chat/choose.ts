import type { PodStatus } from '../../api/index.ts'
import type { KubeObject } from '../../kube/index.ts'
// Not by way of the index: knowing what a runtime's objects are called does not need what an operator is.
import { childName } from '../../operator/runtimes/owned.ts'
import { at, textAt } from '../cluster/objects.ts'
import { isAdopting, isPodReady, podPhase } from '../cluster/pods.ts'

export type Choice =
  | { readonly type: 'pod'; readonly pod: KubeObject }
  /** None is Ready; `why` tells of each. */
  | { readonly type: 'none'; readonly why: string }

/**
 * The pod to talk to: the one that was talked to while it is Ready, else one that has been given everything, else any
 * that is Ready; the first by name.
 * @param told what the AgentRuntime's status says of its pods
 */
export function choosePod(pods: readonly KubeObject[], told: readonly PodStatus[], before: string | undefined): Choice {
  const sorted = [...pods].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  const ready = sorted.filter(isPodReady)
  const isComplete = ({ metadata }: KubeObject) => told.some(({ name, complete }) => name === metadata.name && complete)
  const pod = ready.find(({ metadata }) => metadata.uid === before) ?? ready.find(isComplete) ?? ready[0]
  if (pod !== undefined) return { type: 'pod', pod }
  const why = sorted.map((each) => `${each.metadata.name} is ${describePod(each)}`).join(', ')
  return { type: 'none', why: why || 'it has no pods' }
}

const describePod = (pod: KubeObject): string => {
  const phase = podPhase(pod)
  return phase === 'Running' ? 'not Ready' : phase
}

/** Where the key of an AgentRuntime's API is. */
export type KeySource =
  | { readonly type: 'none' }
  | { readonly type: 'secret'; readonly name: string; readonly key: 'key' }

/** Pods that the operator runs ask for the key in Secret NAME-runtime-key, unless told to ask for none. */
export function keySourceOf(runtime: KubeObject): KeySource {
  if (isAdopting(runtime) || at(runtime, 'spec', 'auth', 'type') === 'none') return { type: 'none' }
  return { type: 'secret', name: `${childName(runtime.metadata.name)}-key`, key: 'key' }
}

/** The AgentRuntime that serves an Agent, Team or Workflow. */
export const runtimeNameOf = (object: KubeObject): string => textAt(object, 'spec', 'runtime') ?? 'default'

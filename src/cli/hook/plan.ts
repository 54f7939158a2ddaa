import type { KubeObject } from '../../kube/index.ts'
import { at, listAt, textAt } from '../cluster/objects.ts'

/** A model that repeats the first line of the agent's instructions: an edit shows in its next answer. */
export const SCRIPTED = {
  name: 'default',
  provider: 'scripted',
  script: [{ match: '.*', reply: '{{instructions}}' }],
} as const

/** The first model of an AgentRuntime that repeats the instructions, whatever it is asked. */
export const chooseModel = (runtime: KubeObject): string | undefined =>
  listAt(runtime, 'spec', 'models')
    .filter((model) => {
      const [first] = listAt(model, 'script')
      return at(first, 'match') === '.*' && at(first, 'reply') === '{{instructions}}' && at(first, 'call') === undefined
    })
    .map((model) => textAt(model, 'name'))
    .find((name) => name !== undefined)

/** Why an object is not ready, from the conditions of its present generation; undefined when it is. */
export function readiness({ metadata, status }: KubeObject): string | undefined {
  const conditions = listAt(status, 'conditions')
  if (conditions.length === 0) return 'no operator has seen it: is one running, and does it watch this namespace?'
  if (at(status, 'observedGeneration') !== metadata.generation) return 'the operator has not seen its last edit'
  const told = (type: string) => conditions.find((condition) => at(condition, 'type') === type)
  const accepted = told('Accepted')
  const ready = at(accepted, 'status') === 'False' ? accepted : told('Ready')
  if (at(ready, 'status') === 'True') return undefined
  return `${textAt(ready, 'reason') ?? 'not Ready'}: ${textAt(ready, 'message') ?? 'nothing is said about it'}`
}

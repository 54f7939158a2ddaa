import {
  type Definition,
  type ItemResult,
  itemIdOf,
  type Owner,
  ProblemError,
  type Reason,
  type RunnablePlural,
} from '../../api/index.ts'
import { arrivalOfItem } from './arrivals/prepare.ts'
import type { Arrival } from './core.ts'
import { ownedBy } from './plan/guard.ts'
import type { DynamicItems } from './port.ts'

const NOT_FOUND: Record<RunnablePlural, Reason> = {
  agents: 'AgentNotFound',
  teams: 'TeamNotFound',
  workflows: 'WorkflowNotFound',
}

/** What the dynamic calls need of a registry. */
export type DynamicPort = {
  ownerOf(id: string): Owner | undefined
  /** What would become of an arrival. */
  check(arrival: Arrival): ItemResult
  commit(arrival: Arrival): ItemResult
}

/** AgentOS's dynamic calls over a registry. Synchronous up to the commit: of many adds of one id exactly one succeeds. */
export function createDynamicItems({ ownerOf, check, commit }: DynamicPort): DynamicItems {
  return {
    async add(definition: Definition) {
      if (definition.kind === 'Settings') throw new Error('settings are not added by the dynamic API')
      const id = itemIdOf(definition.kind, definition.name)
      const owner = ownerOf(id)
      if (owner === 'operator') throw new ProblemError(ownedBy(owner, id))
      if (owner) throw new ProblemError({ reason: 'DuplicateName', message: `${id} already exists` })
      return commit(arrivalOfItem(definition, 'api'))
    },
    async remove(kind: RunnablePlural, name: string) {
      const id = `${kind}/${name}`
      const owner = ownerOf(id)
      if (owner === undefined) throw new ProblemError({ reason: NOT_FOUND[kind], message: `${id} does not exist` })
      if (owner !== 'api') throw new ProblemError(ownedBy(owner, id))
      const { error } = check({ type: 'remove', id })
      if (error) throw new ProblemError(error)
      return commit({ type: 'remove', id })
    },
    ownerOf: (kind, name) => ownerOf(`${kind}/${name}`),
  }
}

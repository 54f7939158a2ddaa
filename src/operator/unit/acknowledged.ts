import type { ItemId } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { claimOf } from '../place/claims.ts'
import { servesUnit } from '../unit-id.ts'
import type { PodEntry } from './pods.ts'
import { unitsOf } from './round.ts'

/** What the pods of an AgentRuntime have acknowledged, as far as they answer. */
export class Acknowledged {
  readonly #entries: readonly PodEntry[]

  constructor(entries: readonly PodEntry[]) {
    this.#entries = entries
  }

  get #answering(): readonly PodEntry[] {
    return this.#entries.filter(({ connection }) => connection.link.type === 'reachable')
  }

  /** Whether every pod that answers serves this revision of an item, and one does. */
  serves(id: ItemId, revision: string): boolean {
    const pods = this.#answering
    const isServed = servesUnit(id, revision)
    const isActive = ({ connection: { state } }: PodEntry) => state !== undefined && isServed(state)
    return pods.length > 0 && pods.every(isActive)
  }

  /** Whether a pod said last that it serves this revision of a unit. */
  servesSomewhere(unit: string, revision: string): boolean {
    const isServed = servesUnit(unit, revision)
    return this.#entries.some(({ connection: { state } }) => state !== undefined && isServed(state))
  }

  /** Whether a pod that answers, or that has not been asked yet, may still have an item of the operator's. */
  holds(id: ItemId): boolean {
    return this.#some(({ connection }) => connection.state?.items.get(id)?.owner === 'operator')
  }

  /** Whether a pod that answers, or that has not been asked yet, may still be claimed by the AgentRuntime. */
  holdsClaim(object: KubeObject): boolean {
    return this.#some(({ connection }) => connection.state?.claimedBy === claimOf(object))
  }

  /** Pods that lack something of a kind, by the beginning of its units: `agents/`, `bundle/`. */
  behind(prefix: string): number {
    return this.#entries.filter(({ difference, connection }) => {
      if (connection.link.type !== 'reachable' || difference === undefined) return true
      return unitsOf(difference).some(([unit]) => unit.startsWith(prefix))
    }).length
  }

  #some(test: (entry: PodEntry) => boolean): boolean {
    return this.#entries.some(
      (entry) =>
        entry.connection.link.type === 'connecting' || (entry.connection.link.type === 'reachable' && test(entry)),
    )
  }
}

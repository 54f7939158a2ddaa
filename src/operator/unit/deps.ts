import type { ItemId } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import type { KubeObject } from '../../kube/types.ts'
import type { BootRecord } from '../boot/index.ts'
import type { OperatorMetrics } from '../metrics.ts'
import type { AccessSources } from './access.ts'
import type { UnitEvent } from './events.ts'
import type { InputSources } from './inputs.ts'
import type { PodsDeps } from './pods.ts'
import type { InTurn } from './round.ts'

/** What an AgentRuntime's unit knows and reaches of the world around it. */
export type UnitDeps = InputSources &
  AccessSources & {
    readonly object: () => KubeObject | undefined
    /** Pods that belong to the AgentRuntime, and names of those that belong to an older one; undefined: not known yet. */
    readonly pods: () => { readonly owned: readonly KubeObject[]; readonly lost: readonly string[] } | undefined
    /** An item that another AgentRuntime is to serve now and does not yet: it stays where it is. */
    readonly isMoving: (id: ItemId) => boolean
    readonly fence: number
    /** ConfigMaps of bundles that pods mount which start from now on, by bundle. */
    readonly mounts: () => ReadonlyMap<string, string | undefined>
    /** What is known from before this process, and where what is good is kept for the next one. */
    readonly boot: Pick<BootRecord, 'seeds' | 'problem' | 'keep'>
    readonly reach: PodsDeps['reach']
    readonly connect: PodsDeps['connect']
    readonly clock: Clock
    readonly inTurn: InTurn
    readonly metrics: OperatorMetrics
    /** Reconcile again soon. */
    readonly wake: () => void
    /** What is to be said of these items may have changed; of the AgentRuntime in any case. */
    readonly touch: (items: Iterable<ItemId> | 'all') => void
    readonly record: (about: ItemId, event: UnitEvent) => void
  }

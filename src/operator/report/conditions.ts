import type { Condition, Reason, StateReason, StatusConditionType } from '../../api/index.ts'
import { dateCondition } from '../../kube/conditions.ts'

/** What a condition says, before it is dated. */
export type Note = { readonly reason: Reason | StateReason; readonly message: string }

/** One row of the truth table. `progress` says which abnormal condition stands beside Ready. */
export type Row = {
  /** Absent: the spec is accepted. */
  readonly refused?: Note | undefined
  readonly ready: Note & { readonly status: 'True' | 'False' }
  readonly available: boolean
  readonly progress: 'settled' | 'reconciling' | 'stalled'
}

type Dated = { readonly previous: readonly Condition[]; readonly generation: number; readonly now: string }

/** The conditions of a row, in their order; what is abnormal-true is absent unless it is True. */
export function conditionsOf({ refused, ready, available, progress }: Row, dated: Dated): Condition[] {
  const note = { reason: ready.reason, message: ready.message }
  const accepted: Note = refused ?? { reason: 'Accepted', message: 'the spec is valid' }
  return [
    date('Accepted', refused === undefined ? 'True' : 'False', accepted, dated),
    date('Ready', ready.status, note, dated),
    available
      ? date('Available', 'True', { reason: 'Served', message: 'at least one pod serves a version of it' }, dated)
      : date('Available', 'False', { reason: 'NotServed', message: 'no pod serves it' }, dated),
    ...(progress === 'reconciling' ? [date('Reconciling', 'True', note, dated)] : []),
    ...(progress === 'stalled' ? [date('Stalled', 'True', note, dated)] : []),
  ]
}

function date(
  type: StatusConditionType,
  status: Condition['status'],
  { reason, message }: Note,
  { previous, generation: observedGeneration, now }: Dated,
): Condition {
  return dateCondition({ type, status, observedGeneration, reason, message }, previous, now)
}

/** What kstatus reads of an object. */
export type StatusObject = {
  readonly metadata: { readonly generation?: number; readonly deletionTimestamp?: string }
  readonly status?: {
    readonly observedGeneration?: number
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

export type KStatus = 'Terminating' | 'InProgress' | 'Failed' | 'Current'

/**
 * The status that sigs.k8s.io/cli-utils/pkg/kstatus computes for a kind that it does not know, by its generic rules in
 * their order: on its way out; a generation that nobody observed; Reconciling or Stalled, the first that is True; Ready;
 * else current.
 */
export function kstatus({ metadata, status }: StatusObject): KStatus {
  if (metadata.deletionTimestamp) return 'Terminating'
  const observed = status?.observedGeneration
  if (observed !== undefined && metadata.generation !== undefined && observed !== metadata.generation)
    return 'InProgress'
  const conditions = status?.conditions ?? []
  const abnormal = conditions.find(({ type, status: is }) => is === 'True' && ABNORMAL.has(type))
  if (abnormal) return abnormal.type === 'Stalled' ? 'Failed' : 'InProgress'
  const ready = conditions.find(({ type }) => type === 'Ready')
  return ready?.status === 'False' || ready?.status === 'Unknown' ? 'InProgress' : 'Current'
}

const ABNORMAL: ReadonlySet<string> = new Set(['Reconciling', 'Stalled'])

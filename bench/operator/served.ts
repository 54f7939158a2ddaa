import { readState } from '../lib/cluster/runtime-pod.ts'
import { until } from '../lib/processes.ts'

/**
 * Resolves when a pod serves another revision of each of these items than before, as its state says: the time of
 * `performance.now()`.
 */
export async function untilOthersServe(pod: number, ids: readonly string[], before: Revisions): Promise<number> {
  await until(`pod ${pod} serves the change`, async () => {
    const now = await servedRevisions(pod)
    return ids.every((id) => now.get(id) !== undefined && now.get(id) !== before.get(id)) || undefined
  })
  return performance.now()
}

export type Revisions = ReadonlyMap<string, string | undefined>

export async function servedRevisions(pod: number): Promise<Revisions> {
  const { items } = await readState(pod)
  return new Map(Object.entries(items).map(([id, { active }]) => [id, active?.revision]))
}

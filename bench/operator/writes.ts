import { type AuditEvent, WRITES } from '../../test/api/harness/cluster/audit-log.ts'
import type { Cluster } from '../../test/api/harness/cluster.ts'

/** The writes of a user since a time (Unix milliseconds), by the API server's audit log. */
export async function writesOf(cluster: Cluster, user: string, since: number): Promise<readonly AuditEvent[]> {
  const events = await cluster.auditEvents({ user, verbs: WRITES })
  return events.filter(({ at }) => at >= since)
}

export const isLease = ({ resource }: AuditEvent): boolean => resource === 'leases'

/** Of Agents or their status: how many of each, the most first. */
export function writesPerAgent(writes: readonly AuditEvent[]): readonly number[] {
  const counts = new Map<string, number>()
  for (const { resource, name } of writes) {
    if (resource === 'agents') counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts.values()].sort((a, b) => b - a)
}

/** What was written, and how often, the most first: `patch agents/status × 12`. */
export function describeWrites(writes: readonly AuditEvent[]): string {
  const counts = new Map<string, number>()
  for (const { verb, resource, subresource } of writes) {
    const what = `${verb} ${subresource === '' ? resource : `${resource}/${subresource}`}`
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a)
  return sorted.length === 0 ? 'none' : sorted.map(([what, count]) => `${what} × ${count}`).join(', ')
}

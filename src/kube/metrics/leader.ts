import { Counter, Gauge, type Registry } from 'prom-client'

/** What one election reports. Recorders never throw. */
export interface LeaderRecorder {
  leads(isLeader: boolean): void
  /** A renewal met another version of the lease than it knew, and had to read it first. */
  slowPath(): void
}

/** client-go's metrics of leader election: `leader_election_*`. */
export interface LeaderMetrics {
  /** Zero from now on for the lease of that name. */
  of(name: string): LeaderRecorder
}

export function createLeaderMetrics(registry: Registry): LeaderMetrics {
  const registers = [registry]
  const status = new Gauge({
    name: 'leader_election_master_status',
    help: 'Whether this process leads: 1 if it does',
    labelNames: ['name'],
    registers,
  })
  const slowPaths = new Counter({
    name: 'leader_election_slowpath_total',
    help: 'Renewals that had to read the lease first',
    labelNames: ['name'],
    registers,
  })
  return {
    of: (name) => {
      status.set({ name }, 0)
      slowPaths.inc({ name }, 0)
      return {
        leads: (isLeader) => status.set({ name }, isLeader ? 1 : 0),
        slowPath: () => slowPaths.inc({ name }),
      }
    },
  }
}

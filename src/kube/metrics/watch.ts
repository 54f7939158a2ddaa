import { Counter, Gauge, type Registry } from 'prom-client'
import type { FailureType } from '../watch/state.ts'

const EVENT_TYPES = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** Why everything was listed: the first time, because the server had forgotten the version, because the kind was gone. */
const RELIST_REASONS = ['start', 'expired', 'absent'] as const
export type RelistReason = (typeof RELIST_REASONS)[number]

const RESTART_REASONS: Readonly<Record<FailureType, true>> = {
  closed: true,
  idle: true,
  connection: true,
  invalid: true,
  expired: true,
  forbidden: true,
  absent: true,
  overloaded: true,
  unsupported: true,
  other: true,
}

/** Counts what watches see, by kind. */
export type WatchMetrics = {
  /** To be called with every watch: the first one of a kind makes its counts start at 0, the others change nothing. */
  started(kind: string): void
  event(kind: string, type: EventType, nowMs: number): void
  restarted(kind: string, reason: FailureType): void
  relisted(kind: string, reason: RelistReason): void
}

export function createWatchMetrics(registry: Registry): WatchMetrics {
  const registers = [registry]
  const events = new Counter({
    name: 'midflight_watch_events_total',
    help: 'Events that watches brought',
    labelNames: ['kind', 'type'],
    registers,
  })
  const restarts = new Counter({
    name: 'midflight_watch_restarts_total',
    help: 'Watches and lists that ended, by reason; closed is the API server ending a watch as it should',
    labelNames: ['kind', 'reason'],
    registers,
  })
  const relists = new Counter({
    name: 'midflight_relists_total',
    help: 'Lists of all objects that were begun, the first one included',
    labelNames: ['kind', 'reason'],
    registers,
  })
  const last = new Gauge({
    name: 'midflight_last_event_timestamp_seconds',
    help: 'When a watch brought something last, bookmarks included',
    labelNames: ['kind'],
    registers,
  })
  return {
    started: (kind) => {
      for (const type of EVENT_TYPES) events.inc({ kind, type }, 0)
      for (const reason of Object.keys(RESTART_REASONS)) restarts.inc({ kind, reason }, 0)
      for (const reason of RELIST_REASONS) relists.inc({ kind, reason }, 0)
      last.inc({ kind }, 0)
    },
    event: (kind, type, nowMs) => {
      events.inc({ kind, type })
      last.set({ kind }, nowMs / 1000)
    },
    restarted: (kind, reason) => restarts.inc({ kind, reason }),
    relisted: (kind, reason) => relists.inc({ kind, reason }),
  }
}

import { type Incident, MAX_INCIDENT_MESSAGE, type Problem } from '../api/index.ts'
import type { Clock } from '../clock.ts'

/** Incidents of one kind within this long, in milliseconds, are told as one. */
export const WINDOW_MS = 10_000
/** Kinds that are told within a window: what is beyond stands in the log and in the metrics alone. */
export const MAX_KINDS = 200

/** One incident as it happens. Its problem holds no secret. */
export type Happened = Pick<Incident, 'bundle' | 'point' | 'cause' | 'agent'> & { readonly problem: Problem }

/** A kind of incident that was told. Times are the monotonic clock's. */
type Kind = {
  readonly toldAt: number
  /** What came since, all in one; undefined when nothing did. */
  readonly since: Incident | undefined
}

/**
 * Tells incidents, each kind at most once within a window: the first at once, and those that follow when its window is
 * over, as one that counts them and is the last of them. A kind is a file or a bundle, and a reason: neither the agent nor
 * the message, for an extension has all agents in its way and says something else each time.
 */
export class Incidents {
  readonly #tell: (incident: Incident) => void
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  readonly #kinds = new Map<string, Kind>()

  constructor(tell: (incident: Incident) => void, clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#tell = tell
    this.#clock = clock
  }

  happened({ problem, ...about }: Happened): void {
    const { path: _, message, ...told } = problem
    const key = JSON.stringify([told.reason, about.bundle, told.file, about.point, about.cause])
    const kind = this.#kinds.get(key)
    if (kind === undefined && this.#kinds.size >= MAX_KINDS) return
    const incident: Incident = {
      at: new Date(this.#clock.now()).toISOString(),
      ...told,
      message: message.slice(0, MAX_INCIDENT_MESSAGE),
      ...about,
      count: 1 + (kind?.since?.count ?? 0),
    }
    if (kind === undefined) this.#say(key, incident)
    else this.#kinds.set(key, { ...kind, since: incident })
  }

  /** Tells what is due. To be called about every second. */
  tick(): void {
    const now = this.#clock.monotonic()
    for (const [key, { toldAt, since }] of this.#kinds) {
      if (now - toldAt < WINDOW_MS) continue
      if (since === undefined) this.#kinds.delete(key)
      else this.#say(key, since)
    }
  }

  #say(key: string, incident: Incident): void {
    this.#kinds.set(key, { toldAt: this.#clock.monotonic(), since: undefined })
    this.#tell(incident)
  }
}

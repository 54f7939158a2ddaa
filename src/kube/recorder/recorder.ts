import { randomBytes } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { Heap } from '../queue/heap.ts'
import { ApiError, isApiError, type KubeObject, type ObjectName, type ResourceType } from '../types.ts'
import { type Budget, createBudget } from './budget.ts'
import { budgetKey, EVENTS, eventOf, type Occurrence, occurrenceKey, type Reporter, seriesOf } from './event.ts'

/** Where Events are written. */
export interface EventClient {
  create(type: ResourceType, object: KubeObject, signal: AbortSignal): Promise<KubeObject>
  patch(
    type: ResourceType,
    name: ObjectName,
    patch: { readonly type: 'merge'; readonly body: object },
    signal: AbortSignal,
  ): Promise<KubeObject>
}

export type RecorderOptions = {
  readonly client: EventClient
  readonly reporter: Reporter
  readonly clock: Clock
  readonly log: Pick<Log, 'debug' | 'warn'>
  /** What makes an Event's name unique: lower case letters and digits. */
  readonly createId?: () => string
}

/** Tells people what happens to objects, through Events. */
export interface EventRecorder {
  /**
   * Never throws, never waits. The first of equal occurrences is written in the background; further ones are counted and
   * written together, at most every 5 min, until none came for 6 min. Of one object at most 25 different ones at once,
   * then one every 5 min, and as many again of those with a correlation; the rest is dropped. So is what cannot be written.
   */
  record(occurrence: Occurrence): void
  /** Resolves when the signal has aborted and nothing is being written. What was not written then is lost. */
  readonly ended: Promise<void>
}

/** client-go's: a series ends that long after its last occurrence. */
const FINISH_MS = 360_000
/** Between two writes of one series. client-go has 30 min, which leaves a count on display stale for long. */
const REFRESH_MS = 300_000
/** client-go's spam filter, and how many objects and series it keeps. */
const BUDGET = { burst: 25, refillMs: 300_000, limit: 4_096 }
const MAX_SERIES = 4_096
/** client-go's: how often and after how long a write is tried again. */
const MAX_TRIES = 12
const RETRY_MS = 10_000

/** Equal occurrences. Times are the monotonic clock's unless told. */
type Series = {
  readonly key: string
  readonly event: KubeObject
  count: number
  /** How many of `count` the API server knows of; 0 before the Event is created. */
  written: number
  lastAt: number
  /** Wall clock. */
  lastObservedAt: number
  tries: number
  /** `due` is in the heap; `idle` has nothing to write. */
  state: 'due' | 'writing' | 'idle'
  /** When it is to be written. */
  due: number
  writtenAt: number
  slot: number
}

/** Writes until the signal aborts. */
export function createRecorder(options: RecorderOptions, signal: AbortSignal): EventRecorder {
  const recorder = new BackgroundRecorder(options, signal)
  return { record: (occurrence) => recorder.record(occurrence), ended: recorder.run() }
}

class BackgroundRecorder {
  readonly #options: RecorderOptions
  readonly #signal: AbortSignal
  readonly #createId: () => string
  readonly #budget: Budget = createBudget(BUDGET)
  /** Least recently seen first. */
  readonly #series = new Map<string, Series>()
  readonly #due = new Heap<Series>((a, b) => a.due < b.due)
  #wake: () => void = () => {}

  constructor(options: RecorderOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
    this.#createId = options.createId ?? (() => randomBytes(8).toString('hex'))
  }

  record(occurrence: Occurrence): void {
    if (this.#signal.aborted) return
    const { clock, log } = this.#options
    const key = occurrenceKey(occurrence)
    const now = clock.monotonic()
    const held = this.#series.get(key)
    if (held !== undefined && now - held.lastAt < FINISH_MS) {
      this.#repeat(held, now, occurrence.count ?? 1)
      return
    }
    // What it has not told yet it tells when it is due.
    this.#series.delete(key)
    if (!this.#budget(budgetKey(occurrence), now)) {
      log.debug('an event is over its object’s budget', { reason: occurrence.reason })
      return
    }
    this.#begin(key, occurrence, now)
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      const next = this.#due.peek()
      const ms = next === undefined ? undefined : next.due - this.#options.clock.monotonic()
      if (next === undefined || ms === undefined || ms > 0) await this.#pause(ms)
      else {
        this.#due.remove(next)
        await this.#write(next)
      }
    }
  }

  #begin(key: string, occurrence: Occurrence, now: number): void {
    const { clock, reporter } = this.#options
    const lastObservedAt = clock.now()
    const event = eventOf(occurrence, reporter, this.#createId(), lastObservedAt)
    const times = { lastAt: now, lastObservedAt, due: now, writtenAt: now }
    const { count = 1 } = occurrence
    const series: Series = { key, event, count, written: 0, tries: 0, state: 'idle', slot: -1, ...times }
    this.#series.set(key, series)
    const [oldest] = this.#series.values()
    if (this.#series.size > MAX_SERIES && oldest !== undefined) this.#drop(oldest)
    this.#schedule(series, now)
  }

  #repeat(series: Series, now: number, times: number): void {
    series.count += times
    series.lastAt = now
    series.lastObservedAt = this.#options.clock.now()
    this.#series.delete(series.key)
    this.#series.set(series.key, series)
    if (series.state === 'idle') this.#schedule(series, Math.max(now, series.writtenAt + REFRESH_MS))
  }

  #drop(series: Series): void {
    if (series.state === 'due') this.#due.remove(series)
    series.state = 'idle'
    // It may have ended while it was written, and another begun.
    if (this.#series.get(series.key) === series) this.#series.delete(series.key)
  }

  #schedule(series: Series, due: number): void {
    series.state = 'due'
    series.due = due
    this.#due.push(series)
    this.#wake()
  }

  async #write(series: Series): Promise<void> {
    const { count } = series
    series.state = 'writing'
    try {
      await this.#send(series)
      this.#wrote(series, count)
    } catch (error) {
      if (!this.#signal.aborted) this.#failed(series, error)
    }
  }

  #wrote(series: Series, count: number): void {
    series.written = count
    series.tries = 0
    series.writtenAt = this.#options.clock.monotonic()
    if (series.count > count) this.#schedule(series, series.writtenAt + REFRESH_MS)
    else series.state = 'idle'
  }

  async #send({ event, count, written, lastObservedAt }: Series): Promise<void> {
    const { client } = this.#options
    const series = seriesOf(count, lastObservedAt)
    if (written === 0) await client.create(EVENTS, { ...event, ...series }, this.#signal)
    else await client.patch(EVENTS, event.metadata, { type: 'merge', body: series }, this.#signal)
  }

  #failed(series: Series, error: unknown): void {
    const now = this.#options.clock.monotonic()
    series.tries += 1
    if (series.tries < MAX_TRIES && isPassing(error)) {
      this.#schedule(series, now + Math.max(RETRY_MS, error.retryAfterMs ?? 0))
    } else if (series.written > 0 && isApiError(error, 404)) {
      // Events live an hour.
      series.written = 0
      this.#schedule(series, now)
    } else if (series.written === 0 && isApiError(error, 409)) {
      // An answer was lost: it is there.
      this.#wrote(series, 1)
    } else {
      this.#drop(series)
      this.#options.log.warn('an event could not be written', { event: series.event.metadata.name, error })
    }
  }

  #pause(ms: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = ms === undefined ? undefined : this.#options.clock.timer(Math.ceil(ms), resolve)
    this.#wake = resolve
    this.#signal.addEventListener('abort', this.#onAbort, { once: true })
    return promise.finally(() => {
      timer?.cancel()
      this.#signal.removeEventListener('abort', this.#onAbort)
    })
  }

  readonly #onAbort = () => this.#wake()
}

const isPassing = (error: unknown): error is ApiError =>
  error instanceof ApiError && (error.code === 0 || error.code === 429 || error.code >= 500)

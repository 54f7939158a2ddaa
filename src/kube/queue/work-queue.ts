import type { Clock, Timer } from '../../clock.ts'
import type { QueueRecorder } from '../metrics/queue.ts'
import type { ObjectKey } from '../types.ts'
import { type Backoff, exponentialBackoff } from './backoff.ts'
import { Heap } from './heap.ts'

/** Changes go before what was merely there already: the first list, and looking again from time to time. */
export const PRIORITY = { HIGH: 0, LOW: -100 } as const
export type Priority = (typeof PRIORITY)[keyof typeof PRIORITY]

export type AddOptions = {
  /** HIGH unless told. */
  readonly priority?: Priority
  /** Not before that time from now, in milliseconds. */
  readonly afterMs?: number
}

/** An item in somebody's hands until `done`. */
export type WorkItem = { readonly key: ObjectKey; readonly priority: Priority }

/**
 * Keys to work on. A key waits at most once and is in at most one hand: what is added while it runs makes it run once
 * more afterwards. Of several adds the earliest time and the highest priority win. Among equal priorities, first come
 * first served.
 */
export interface WorkQueue {
  add(key: ObjectKey, options?: AddOptions): void
  /** Adds after the key's back-off, which grows with every call until `forget`. */
  addRateLimited(key: ObjectKey, priority?: Priority): void
  /** Ends the key's back-off: the next failure counts as its first. */
  forget(key: ObjectKey): void
  /** The next item as soon as there is one; undefined after `shutDown` or when the signal has aborted. */
  get(signal: AbortSignal): Promise<WorkItem | undefined>
  /** To be called once for each item that `get` gave. */
  done(key: ObjectKey): void
  /** Hands out nothing more and takes nothing more. Resolves when every item in somebody's hands is done. */
  shutDown(): Promise<void>
  /** How many items could be handed out now. */
  readonly depth: number
}

export type WorkQueueOptions = {
  readonly clock: Clock
  readonly backoff?: Backoff
  readonly metrics: QueueRecorder
}

/** When a key is to run next; `delayed` and `ready` are in the heap of that name. Times are the monotonic clock's. */
type Waiting = {
  readonly key: ObjectKey
  state: 'delayed' | 'ready'
  priority: Priority
  due: number
  order: number
  slot: number
}

/** `next` is its second turn, in no heap yet. */
type Running = { readonly since: number; next: Waiting | undefined }

/** The longest that a timer of Node can be set to. */
const MAX_TIMER_MS = 2 ** 31 - 1

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  return new HeapQueue(options)
}

class HeapQueue implements WorkQueue {
  readonly #clock: Clock
  readonly #backoff: Backoff
  readonly #metrics: QueueRecorder
  readonly #waiting = new Map<ObjectKey, Waiting>()
  readonly #running = new Map<ObjectKey, Running>()
  readonly #delayed = new Heap<Waiting>((a, b) => a.due < b.due || (a.due === b.due && a.order < b.order))
  readonly #ready = new Heap<Waiting>(
    (a, b) => a.priority > b.priority || (a.priority === b.priority && a.order < b.order),
  )
  readonly #depths = new Map<Priority, number>()
  readonly #failures = new Map<ObjectKey, number>()
  readonly #takers = new Set<(item: WorkItem | undefined) => void>()
  readonly #drained = Promise.withResolvers<void>()
  #alarm: { readonly due: number; readonly timer: Timer } | undefined
  #order = 0
  #isShutDown = false

  constructor({ clock, backoff = exponentialBackoff(), metrics }: WorkQueueOptions) {
    this.#clock = clock
    this.#backoff = backoff
    this.#metrics = metrics
    metrics.running(() => this.#runningWork())
  }

  get depth(): number {
    return this.#ready.size
  }

  add(key: ObjectKey, { priority = PRIORITY.HIGH, afterMs = 0 }: AddOptions = {}): void {
    if (this.#isShutDown) return
    const now = this.#clock.monotonic()
    const due = now + Math.max(0, afterMs)
    const waiting = this.#waiting.get(key)
    const next = this.#running.get(key)?.next
    if (waiting !== undefined) this.#hasten(waiting, { priority, due }, now)
    else if (next !== undefined) {
      next.due = Math.min(next.due, due)
      next.priority = higher(next.priority, priority)
    } else this.#addNew({ key, state: 'delayed', priority, due, order: this.#order++, slot: -1 }, now)
  }

  addRateLimited(key: ObjectKey, priority: Priority = PRIORITY.HIGH): void {
    if (this.#isShutDown) return
    const failures = this.#failures.get(key) ?? 0
    this.#failures.set(key, failures + 1)
    this.#metrics.retried()
    this.add(key, { priority, afterMs: this.#backoff(failures) })
  }

  forget(key: ObjectKey): void {
    this.#failures.delete(key)
  }

  get(signal: AbortSignal): Promise<WorkItem | undefined> {
    if (this.#isShutDown || signal.aborted) return Promise.resolve(undefined)
    const item = this.#take()
    if (item !== undefined) return Promise.resolve(item)
    return new Promise((resolve) => {
      const take = (found: WorkItem | undefined) => {
        this.#takers.delete(take)
        signal.removeEventListener('abort', onAbort)
        resolve(found)
      }
      const onAbort = () => take(undefined)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#takers.add(take)
    })
  }

  done(key: ObjectKey): void {
    const running = this.#running.get(key)
    if (running === undefined) throw new Error(`done was called for ${key}, which is not running`)
    const now = this.#clock.monotonic()
    this.#metrics.finished((now - running.since) / 1000)
    this.#running.delete(key)
    if (this.#isShutDown) {
      if (this.#running.size === 0) this.#drained.resolve()
    } else if (running.next !== undefined) this.#wait(running.next, now)
  }

  shutDown(): Promise<void> {
    this.#isShutDown = true
    this.#alarm?.timer.cancel()
    this.#alarm = undefined
    for (const take of [...this.#takers]) take(undefined)
    if (this.#running.size === 0) this.#drained.resolve()
    return this.#drained.promise
  }

  #addNew(added: Waiting, now: number): void {
    const running = this.#running.get(added.key)
    if (running === undefined) this.#wait(added, now)
    else running.next = added
  }

  #wait(waiting: Waiting, now: number): void {
    if (waiting.due <= now) {
      this.#makeReady(waiting)
      return
    }
    waiting.state = 'delayed'
    this.#waiting.set(waiting.key, waiting)
    this.#delayed.push(waiting)
    this.#setAlarm(now)
  }

  #hasten(waiting: Waiting, sooner: { priority: Priority; due: number }, now: number): void {
    const priority = higher(waiting.priority, sooner.priority)
    if (waiting.state === 'ready') this.#lift(waiting, priority)
    waiting.priority = priority
    if (waiting.state === 'ready' || sooner.due >= waiting.due) return
    this.#delayed.remove(waiting)
    waiting.due = sooner.due
    this.#wait(waiting, now)
  }

  #lift(waiting: Waiting, priority: Priority): void {
    if (priority === waiting.priority) return
    this.#count(waiting.priority, -1)
    waiting.priority = priority
    this.#count(priority, 1)
    this.#ready.moved(waiting)
  }

  #makeReady(waiting: Waiting): void {
    waiting.order = this.#order++
    waiting.state = 'ready'
    this.#waiting.set(waiting.key, waiting)
    this.#ready.push(waiting)
    this.#count(waiting.priority, 1)
    this.#metrics.added()
    const [taker] = this.#takers
    if (taker !== undefined) taker(this.#take())
  }

  #take(): WorkItem | undefined {
    const waiting = this.#ready.pop()
    if (waiting === undefined) return undefined
    const { key, priority, due } = waiting
    const now = this.#clock.monotonic()
    this.#count(priority, -1)
    this.#metrics.started((now - due) / 1000)
    this.#waiting.delete(key)
    this.#running.set(key, { since: now, next: undefined })
    return { key, priority }
  }

  #setAlarm(now: number): void {
    const due = this.#delayed.peek()?.due
    if (due === undefined || (this.#alarm !== undefined && this.#alarm.due <= due)) return
    this.#alarm?.timer.cancel()
    // Rounded up: a timer that is early by a fraction would only have to be set again.
    const ms = Math.min(Math.ceil(due - now), MAX_TIMER_MS)
    this.#alarm = { due, timer: this.#clock.timer(ms, () => this.#wake()) }
  }

  #wake(): void {
    this.#alarm = undefined
    const now = this.#clock.monotonic()
    for (;;) {
      const first = this.#delayed.peek()
      if (first === undefined || first.due > now) break
      this.#delayed.remove(first)
      this.#makeReady(first)
    }
    this.#setAlarm(now)
  }

  #count(priority: Priority, by: 1 | -1): void {
    const depth = (this.#depths.get(priority) ?? 0) + by
    this.#depths.set(priority, depth)
    this.#metrics.depth(priority, depth)
  }

  #runningWork(): { unfinished: number; longest: number } {
    const now = this.#clock.monotonic()
    let unfinished = 0
    let longest = 0
    for (const { since } of this.#running.values()) {
      const seconds = (now - since) / 1000
      unfinished += seconds
      longest = Math.max(longest, seconds)
    }
    return { unfinished, longest }
  }
}

const higher = (a: Priority, b: Priority): Priority => (a > b ? a : b)

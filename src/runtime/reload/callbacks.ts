/** What a callback is told of a file that changed. */
export type ReloadEvent = {
  /** `bundle/path` of a bundle's file; the path itself of a file in a directory that `addWatch` named. */
  readonly path: string
  readonly event_type: 'created' | 'modified' | 'deleted'
  /** Seconds since 1970. */
  readonly timestamp: number
  /** Dotted name of a module; absent for what is no module. */
  readonly module_path?: string
}

export type ReloadCallback = (event: ReloadEvent) => void | Promise<void>

/** Events of one file that wait for a callback which does not end; of more the newest are left out. */
const MAX_WAITING = 100

type Queue = { tail: Promise<void>; waiting: number }
type Subscription = { readonly callback: ReloadCallback; readonly queues: Map<string, Queue> }

/**
 * Callbacks for file changes. They never hold up a reload nor each other: each is called after the reload, for one file
 * in the order of its changes, the next time when the promise that it returned has settled. One that throws or rejects
 * is told to `failed`, and called again.
 */
export class ReloadCallbacks {
  readonly #failed: (error: unknown, event: ReloadEvent) => void
  readonly #subscriptions = new Set<Subscription>()

  constructor(failed: (error: unknown, event: ReloadEvent) => void) {
    this.#failed = failed
  }

  /** @returns ends it: not even an event that waits is told any more */
  add(callback: ReloadCallback): () => void {
    const subscription: Subscription = { callback, queues: new Map() }
    this.#subscriptions.add(subscription)
    return () => void this.#subscriptions.delete(subscription)
  }

  tell(event: ReloadEvent): void {
    for (const subscription of this.#subscriptions) this.#enqueue(subscription, event)
  }

  #enqueue(subscription: Subscription, event: ReloadEvent): void {
    const { queues } = subscription
    const queue = queues.get(event.path) ?? { tail: Promise.resolve(), waiting: 0 }
    if (queue.waiting >= MAX_WAITING) return
    queues.set(event.path, queue)
    queue.waiting += 1
    queue.tail = queue.tail.then(async () => {
      await this.#call(subscription, event)
      queue.waiting -= 1
      if (queue.waiting === 0) queues.delete(event.path)
    })
  }

  async #call(subscription: Subscription, event: ReloadEvent): Promise<void> {
    if (!this.#subscriptions.has(subscription)) return
    try {
      await subscription.callback(event)
    } catch (error) {
      this.#failed(error, event)
    }
  }
}

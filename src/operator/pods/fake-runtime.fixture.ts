import {
  type ApplyRequest,
  type ApplyResponse,
  type BundleState,
  type Credentials,
  hashText,
  type ItemId,
  type ItemState,
  ProblemError,
  type RuntimeEvent,
  type RuntimeState,
} from '../../api/index.ts'
import type { RuntimeTarget, StateAnswer } from '../ports.ts'

type NewEvent = RuntimeEvent extends infer E ? (E extends RuntimeEvent ? Omit<E, 'id'> : never) : never

/** A runtime without agents: it says of itself what it is told, and everything it is given serves at once. */
export class FakeRuntime implements RuntimeTarget {
  readonly podUid: string | undefined
  bootId = 'boot-1'
  fence = 0
  claimedBy: string | undefined
  complete = false
  credentials: Credentials | undefined
  /** Calls of each method so far. */
  readonly calls = { state: 0, apply: 0, events: 0 }
  /** Awaited before each answer; throws what the answer fails with. */
  before: (method: 'state' | 'apply' | 'events') => Promise<void> | void = () => undefined
  /** Awaited after each answer was made. */
  after: (method: 'state' | 'apply') => Promise<void> | void = () => undefined
  /** While set, readers are told of no event. */
  isSilent = false
  readonly #items = new Map<ItemId, ItemState>()
  readonly #bundles = new Map<string, BundleState>()
  #secrets = new Map<string, string>()
  #pins: Readonly<Record<string, string>> = {}
  #events: RuntimeEvent[] = []
  #seq = 0
  #boots = 1
  #wake = Promise.withResolvers<void>()
  #cuts = 0

  constructor(podUid?: string) {
    this.podUid = podUid
  }

  get lastEventId(): string {
    return `${this.bootId}/${this.#seq}`
  }

  item(id: ItemId, state?: ItemState): void {
    if (state === undefined) this.#items.delete(id)
    else this.#items.set(id, state)
    const type = state?.candidate === undefined ? 'activated' : 'rejected'
    this.#append({ type, item: id, ...(state && { state }) })
  }

  bundle(name: string, state?: BundleState): void {
    if (state === undefined) this.#bundles.delete(name)
    else this.#bundles.set(name, state)
    this.#append({ type: 'bundle', bundle: name, ...(state && { state }) })
  }

  stats(): void {
    this.#append({ type: 'stats', stats: {} })
  }

  /** Changes an item and tells nobody, as no sound runtime does. */
  corrupt(id: ItemId, state: ItemState): void {
    this.#items.set(id, state)
  }

  /** Readers that are behind get `reset`. */
  forget(): void {
    this.#events = []
  }

  /** Another process, which knows nothing. */
  restart(): void {
    this.#boots += 1
    this.bootId = `boot-${this.#boots}`
    this.#items.clear()
    this.#bundles.clear()
    this.#secrets.clear()
    this.#pins = {}
    this.#events = []
    this.#seq = 0
    this.fence = 0
    this.claimedBy = undefined
    this.complete = false
    this.drop()
  }

  /** Ends all streams of events. */
  drop(): void {
    this.#cuts += 1
    this.wake()
  }

  wake(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  content(): RuntimeState {
    return copyOf({
      protocol: { min: 1, max: 1 },
      bootId: this.bootId,
      ...(this.podUid !== undefined && { podUid: this.podUid }),
      ...(this.claimedBy !== undefined && { claimedBy: this.claimedBy }),
      fence: this.fence,
      snapshot: `snapshot-${this.#seq}`,
      lastEventId: this.lastEventId,
      complete: this.complete,
      items: Object.fromEntries(this.#items),
      bundles: Object.fromEntries(this.#bundles),
      secrets: Object.fromEntries(this.#secrets),
      pins: this.#pins,
      tools: [],
      stats: {},
      credentials: this.credentials,
    })
  }

  async state(_signal: AbortSignal, etag?: string): Promise<StateAnswer> {
    this.calls.state += 1
    await this.before('state')
    const state = this.content()
    const current = hashText(JSON.stringify(state))
    await this.after('state')
    return current === etag ? { type: 'unchanged' } : { type: 'state', state, etag: current }
  }

  async apply(request: ApplyRequest, _signal?: AbortSignal): Promise<ApplyResponse> {
    this.calls.apply += 1
    await this.before('apply')
    this.#admit(request)
    if (request.mode === 'activate') this.#take(request)
    const { lastEventId, complete } = this
    await this.after('apply')
    return { snapshot: `snapshot-${this.#seq}`, lastEventId, complete, items: {}, bundles: {} }
  }

  async *events(signal: AbortSignal, lastEventId?: string): AsyncGenerator<RuntimeEvent> {
    this.calls.events += 1
    await this.before('events')
    const cut = this.#cuts
    const wake = () => this.wake()
    signal.addEventListener('abort', wake)
    try {
      let position = this.#positionOf(lastEventId)
      while (!signal.aborted && cut === this.#cuts) {
        const oldest = this.#seq - this.#events.length
        const event = this.#events[position - oldest]
        if (position < oldest) {
          position = this.#seq
          yield { id: this.lastEventId, type: 'reset' }
        } else if (event !== undefined && !this.isSilent) {
          position += 1
          yield copyOf(event)
        } else await this.#wake.promise
      }
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }

  #positionOf(id: string | undefined): number {
    if (id === undefined) return this.#seq
    const [bootId, seq] = id.split('/')
    return bootId === this.bootId ? Number(seq) : -1
  }

  #admit({ target, fence, claim }: ApplyRequest): void {
    if (target.bootId !== this.bootId) throw refused('WrongTarget', `this is ${this.bootId}`)
    if (fence < this.fence) throw refused('StaleFence', `fence ${fence} is below ${this.fence}`)
    if (this.claimedBy !== undefined && this.claimedBy !== claim) throw refused('Claimed', `by ${this.claimedBy}`)
  }

  #take({ fence, claim, items, bundles, secrets, remove, pins, complete, release }: ApplyRequest): void {
    this.fence = fence
    this.claimedBy = release ? undefined : claim
    for (const id of remove.secrets) this.#secrets.delete(id)
    for (const [id, { version }] of Object.entries(secrets)) this.#secrets.set(id, version)
    for (const [id, { owner, revision }] of Object.entries(items)) {
      this.item(id, { owner, active: { revision, digest: revision } })
    }
    for (const id of remove.items) if (this.#items.has(id)) this.item(id)
    for (const [name, { hash }] of Object.entries(bundles)) this.bundle(name, { active: hash })
    for (const name of remove.bundles) if (this.#bundles.has(name)) this.bundle(name)
    if (pins !== undefined) this.#pins = pins
    if (complete !== undefined) this.complete = true
  }

  #append(event: NewEvent): void {
    this.#seq += 1
    this.#events.push(copyOf({ ...event, id: this.lastEventId } as RuntimeEvent))
    this.wake()
  }
}

/** As it comes over the wire. */
const copyOf = <T>(value: T): T => JSON.parse(JSON.stringify(value))

const refused = (reason: 'WrongTarget' | 'StaleFence' | 'Claimed', message: string): ProblemError =>
  new ProblemError({ reason, message })

/** An item that serves. */
export const serving = (text: string): ItemState => ({
  owner: 'operator',
  active: { revision: hashText(text), digest: hashText(`${text} in this pod`) },
})

/** An item that serves one revision and refused another. */
export const refusing = (text: string, refusedText: string): ItemState => ({
  ...serving(text),
  candidate: {
    revision: hashText(refusedText),
    outcome: 'rejected',
    error: { reason: 'ToolNotFound', message: `no tool ${refusedText}` },
  },
})

/** A call with nothing in it. */
export const emptyCall: ApplyRequest = {
  fence: 1,
  claim: 'default/main',
  mode: 'activate',
  target: { bootId: 'boot-1' },
  items: {},
  bundles: {},
  secrets: {},
  remove: { items: [], bundles: [], secrets: [] },
}

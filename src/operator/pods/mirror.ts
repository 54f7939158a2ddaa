import { isDeepStrictEqual } from 'node:util'
import type {
  ApplyRequest,
  ApplyResponse,
  BundleState,
  Credentials,
  HeardEvent,
  ItemId,
  ItemState,
  RuntimeState,
} from '../../api/index.ts'
import type { PodState } from '../ports.ts'
import { parseEventId } from './event-id.ts'
import type { StateInterner } from './interner.ts'

/** What differs from before. `rest`: fence, claim, completeness, secrets, pins or credentials. */
export type Difference = { readonly items: ReadonlySet<ItemId>; readonly bundles: boolean; readonly rest: boolean }

/** `lost`: this event does not follow the last one, so that the state has to be read. */
export type Folded = { readonly type: 'folded'; readonly difference: Difference } | { readonly type: 'lost' }

/**
 * What one process of a runtime said of itself: a state and the events after it. Everything is changed in place, at the
 * cost of what changes; whoever looks sees it as it is now.
 */
export class Mirror implements PodState {
  readonly bootId: string
  readonly #interner: StateInterner
  readonly #items = new Map<ItemId, ItemState>()
  #bundles: Map<string, BundleState>
  #secrets: Map<string, string>
  #pins: Map<string, string>
  #claimedBy: string | undefined
  #fence: number
  #complete: boolean
  /** Number of the event with which a call's answer, that the state is complete, holds of the items here too. */
  #completeFrom: number | undefined
  #credentials: Credentials | undefined
  #seq: number

  constructor(state: RuntimeState, interner: StateInterner) {
    this.bootId = state.bootId
    this.#interner = interner
    this.#bundles = new Map(Object.entries(state.bundles))
    this.#secrets = new Map(Object.entries(state.secrets))
    this.#pins = new Map(Object.entries(state.pins))
    this.#claimedBy = state.claimedBy
    this.#fence = state.fence
    this.#complete = state.complete
    this.#credentials = state.credentials
    this.#seq = seqOf(state)
    for (const [id, item] of Object.entries(state.items)) this.#put(id, item)
  }

  get items(): ReadonlyMap<ItemId, ItemState> {
    return this.#items
  }

  get bundles(): ReadonlyMap<string, BundleState> {
    return this.#bundles
  }

  get secrets(): ReadonlyMap<string, string> {
    return this.#secrets
  }

  get pins(): ReadonlyMap<string, string> {
    return this.#pins
  }

  get claimedBy(): string | undefined {
    return this.#claimedBy
  }

  get fence(): number {
    return this.#fence
  }

  get complete(): boolean {
    return this.#complete
  }

  get credentials(): Credentials | undefined {
    return this.#credentials
  }

  /** Number of the last event that it holds. */
  get seq(): number {
    return this.#seq
  }

  /** Takes one event in. One that it holds already changes nothing. */
  fold(event: HeardEvent): Folded {
    const id = parseEventId(event.id)
    if (event.type === 'reset' || id === undefined || id.bootId !== this.bootId || id.seq > this.#seq + 1) {
      return { type: 'lost' }
    }
    if (id.seq <= this.#seq) return { type: 'folded', difference: NOTHING }
    this.#seq = id.seq
    const difference = this.#told(event)
    return { type: 'folded', difference: { ...difference, rest: this.#becameComplete() } }
  }

  /** Becomes what items and bundles of a state of this process are, and its last event. */
  takeUnits(state: RuntimeState): Difference {
    const items = new Set<ItemId>()
    for (const [id, item] of Object.entries(state.items)) if (this.#put(id, item)) items.add(id)
    for (const id of this.#items.keys()) if (!Object.hasOwn(state.items, id) && this.#put(id, undefined)) items.add(id)
    const bundles = new Map(Object.entries(state.bundles))
    const differ = !isDeepStrictEqual(bundles, this.#bundles)
    this.#bundles = bundles
    this.#seq = seqOf(state)
    return { items, bundles: differ, rest: this.#becameComplete() }
  }

  /** Becomes what a state of this process says that events do not tell. */
  takeRest(state: RuntimeState): Difference {
    const secrets = new Map(Object.entries(state.secrets))
    const pins = new Map(Object.entries(state.pins))
    return this.#setRest({ ...state, claimedBy: state.claimedBy, secrets, pins })
  }

  /** Becomes what a state of this process says of its credentials, on which neither events nor calls have a bearing. */
  takeCredentials({ credentials }: RuntimeState): Difference {
    const isSame = isDeepStrictEqual(credentials, this.#credentials)
    this.#credentials = credentials
    return { ...NOTHING, rest: !isSame }
  }

  /**
   * Takes in what a call did and events do not tell. Assumes that the call was answered by this process. It counts as
   * complete from when the events tell what made it so.
   */
  takeCall(request: Omit<ApplyRequest, 'target'>, { complete, lastEventId }: ApplyResponse): Difference {
    if (request.mode === 'check') return NOTHING
    const secrets = new Map(this.#secrets)
    for (const id of request.remove.secrets) secrets.delete(id)
    for (const [id, { version }] of Object.entries(request.secrets)) secrets.set(id, version)
    const pins = request.pins === undefined ? this.#pins : new Map(Object.entries(request.pins))
    const claimedBy = request.release ? undefined : request.claim
    const fence = Math.max(this.#fence, request.fence)
    const from = parseEventId(lastEventId)?.seq ?? 0
    const isAhead = complete && !this.#complete && from > this.#seq
    const difference = this.#setRest({ claimedBy, fence, complete: complete && !isAhead, secrets, pins })
    if (isAhead) this.#completeFrom = from
    return difference
  }

  /** Gives back what is shared, once: nothing is to be taken in afterwards, what was told last stays. */
  release(): void {
    for (const [id, state] of this.#items) this.#interner.release(id, state)
  }

  #told(event: Exclude<HeardEvent, { type: 'reset' }>): Difference {
    switch (event.type) {
      case 'activated':
      case 'rejected':
        return this.#put(event.item, event.state) ? { ...NOTHING, items: new Set([event.item]) } : NOTHING
      case 'bundle': {
        const differs = !isDeepStrictEqual(this.#bundles.get(event.bundle), event.state)
        if (event.state === undefined) this.#bundles.delete(event.bundle)
        else this.#bundles.set(event.bundle, event.state)
        return { ...NOTHING, bundles: differs }
      }
      case 'stats':
      case 'incident':
      case 'unknown':
        return NOTHING
    }
  }

  #becameComplete(): boolean {
    if (this.#completeFrom === undefined || this.#completeFrom > this.#seq) return false
    this.#completeFrom = undefined
    this.#complete = true
    return true
  }

  /** @returns whether it differs */
  #put(id: ItemId, state: ItemState | undefined): boolean {
    const old = this.#items.get(id)
    if (isDeepStrictEqual(old, state)) return false
    if (state === undefined) this.#items.delete(id)
    else {
      const shared = this.#interner.take(id, state)
      this.#items.set(shared.id, shared.state)
    }
    if (old !== undefined) this.#interner.release(id, old)
    return true
  }

  #setRest(
    rest: Pick<PodState, 'claimedBy' | 'fence' | 'complete'> & {
      secrets: Map<string, string>
      pins: Map<string, string>
    },
  ): Difference {
    const { claimedBy, fence, complete, secrets, pins } = rest
    const isSame =
      claimedBy === this.#claimedBy &&
      fence === this.#fence &&
      complete === this.#complete &&
      isDeepStrictEqual(secrets, this.#secrets) &&
      isDeepStrictEqual(pins, this.#pins)
    this.#claimedBy = claimedBy
    this.#fence = fence
    this.#complete = complete
    this.#completeFrom = undefined
    this.#secrets = secrets
    this.#pins = pins
    return { ...NOTHING, rest: !isSame }
  }
}

export const NOTHING: Difference = { items: new Set(), bundles: false, rest: false }

export const isDifferent = ({ items, bundles, rest }: Difference): boolean => items.size > 0 || bundles || rest

/** The number of the last event that a state holds; 0 when it names none of its own process. */
export function seqOf({ bootId, lastEventId }: RuntimeState): number {
  const id = parseEventId(lastEventId)
  return id?.bootId === bootId ? id.seq : 0
}

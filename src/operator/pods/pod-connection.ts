import {
  type ApplyRequest,
  type ApplyResponse,
  type Incident,
  type Problem,
  ProblemError,
  problemOf,
  type RuntimeState,
} from '../../api/index.ts'
import { abandonOnAbort, type Clock, type Linked, linkedTo } from '../../clock.ts'
import type { PodLink, PodState, RuntimeTarget } from '../ports.ts'
import type { PodChange, PodConnection, PodPhase } from './connection.ts'
import { formatEventId, parseEventId } from './event-id.ts'
import { createStateInterner, type StateInterner } from './interner.ts'
import { type Difference, isDifferent, Mirror, NOTHING, seqOf } from './mirror.ts'
import { Pause, pauseAfter } from './pause.ts'

export type PodConnectionOptions = {
  readonly target: RuntimeTarget
  readonly pod: { readonly name: string; readonly uid: string }
  readonly clock: Clock
  /** In [0, 1). */
  readonly random?: () => number
  /** Called synchronously with every change. Must not throw. */
  readonly onChange: (change: PodChange) => void
  /** Told of what went wrong in code there, each time once; not of what went wrong while it was not followed. Must not throw. */
  readonly onIncident?: (incident: Incident) => void
  /** The events did not tell what a state read then told. The state was taken over. */
  readonly onDivergence?: (difference: Difference) => void
  /** One for all pods of an operator. */
  readonly interner?: StateInterner
}

/** Follows one pod until the signal aborts. */
export function connectPod(options: PodConnectionOptions, signal: AbortSignal): PodConnection {
  return new Connection(options, signal)
}

/** The safety net: how long events alone are believed. */
const CHECK_MS = 30_000
/** A look at the state that came to no conclusion, as events overtook it, is repeated this soon, and this often. */
const CHECK_AGAIN_MS = 1000
const MAX_CHECKS_AGAIN = 3
/** How long after an answer the events that it holds may take. */
const EVENTS_MS = 5000
/** How long the events may be behind a state that was read. */
const LAG_MS = 1000
/** A connection that held this long was a good one. */
const HELD_MS = 1000
/** A pod that has never answered is on its way up, as a rule: for so long it is asked more often. */
const STARTING_MS = 5000

/** How a look at the state ended. `again`: it could not be compared, or not all of it. */
type Look = 'settled' | 'again' | 'lost'

type Waiter = { readonly bootId: string; readonly seq: number; resolve(): void }

class Connection implements PodConnection {
  readonly ended: Promise<void>
  phase: PodPhase = 'reading'
  link: PodLink = { type: 'connecting' }
  readonly #options: PodConnectionOptions
  readonly #signal: AbortSignal
  readonly #interner: StateInterner
  /** On the monotonic clock. */
  readonly #foundAt: number
  #mirror: Mirror | undefined
  /** Of exactly what the mirror holds. */
  #etag: string | undefined
  /** Calls of `apply`, to tell whether one overlapped a read. */
  readonly #calls = { begun: 0, ended: 0 }
  /** When the last call began, or the first state was read; on the monotonic clock. */
  #calledAt = 0
  #wake = Promise.withResolvers<void>()
  /** Since the last read began. */
  #isAskedAnew = false
  readonly #pause = new Pause()
  #waiters: Waiter[] = []
  /** Told how the next read that begins from now on ends. */
  #readers: ((problem: Problem | undefined) => void)[] = []

  constructor(options: PodConnectionOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
    this.#interner = options.interner ?? createStateInterner()
    this.#foundAt = options.clock.monotonic()
    this.ended = this.#run()
  }

  get state(): PodState | undefined {
    return this.#mirror
  }

  refresh(): void {
    this.#wake.resolve()
  }

  askAnew(): void {
    if (this.#mirror !== undefined) return
    if (this.link.type === 'unreachable') this.link = { type: 'connecting' }
    this.#isAskedAnew = true
    this.#pause.end()
  }

  async apply(request: Omit<ApplyRequest, 'target'>, signal: AbortSignal): Promise<ApplyResponse> {
    const mirror = this.#mirror
    if (mirror === undefined) throw this.#notKnown()
    const linked = linkedTo(this.#signal)
    const onAbort = () => linked.abort(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await this.#applyTo(mirror, request, linked)
    } catch (error) {
      // Whoever calls again at once must not call the process that is gone.
      if (isWrongTarget(error)) await abandonOnAbort(this.#nextRead(), linked.signal)
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
      linked.release()
    }
  }

  async #applyTo(mirror: Mirror, request: Omit<ApplyRequest, 'target'>, { signal }: Linked): Promise<ApplyResponse> {
    const response = await this.#call({ ...request, target: { bootId: mirror.bootId } }, signal)
    if (this.#mirror === mirror) this.#tellDifference(mirror.takeCall(request, response))
    const last = parseEventId(response.lastEventId)
    if (last === undefined || last.bootId !== mirror.bootId || !(await this.#reached(last, EVENTS_MS, signal))) {
      const problem = await abandonOnAbort(this.#nextRead(), signal)
      if (problem !== undefined) throw new ProblemError(problem)
    }
    return response
  }

  /** After a failure the pod may have done some of it, or be another one. */
  async #call(request: ApplyRequest, signal: AbortSignal): Promise<ApplyResponse> {
    this.#calls.begun += 1
    this.#calledAt = this.#options.clock.monotonic()
    try {
      return await abandonOnAbort(this.#options.target.apply(request, signal), signal)
    } catch (error) {
      this.refresh()
      throw error
    } finally {
      this.#calls.ended += 1
      // What was read meanwhile may be of before or after the call.
      this.#etag = undefined
    }
  }

  #notKnown(): ProblemError {
    if (this.link.type === 'unreachable') return new ProblemError(this.link.problem)
    const message = `the state of pod ${this.#options.pod.name} has not been read yet`
    return new ProblemError({ reason: 'RuntimeUnreachable', message })
  }

  /** Never rejects: what goes wrong is in `link`. */
  async #run(): Promise<void> {
    let failures = 0
    while (!this.#signal.aborted) {
      await this.#backOff(failures)
      const look = await this.#read()
      const { clock } = this.#options
      const from = clock.monotonic()
      if (look !== 'lost') await this.#follow(look)
      failures = look !== 'lost' && clock.monotonic() - from >= HELD_MS ? 0 : failures + 1
    }
    this.phase = 'ended'
    this.#mirror?.release()
  }

  async #backOff(failures: number): Promise<void> {
    if (failures === 0 || this.#isAskedAnew) return
    this.phase = 'backingOff'
    const { clock, random = Math.random } = this.#options
    await this.#pause.sleep(clock, pauseAfter(failures, this.#isStarting, random), this.#signal)
  }

  /** A refusal is an answer. */
  get #isStarting(): boolean {
    const { link } = this
    const isMute = link.type === 'unreachable' && link.problem.reason === 'RuntimeUnreachable'
    return isMute && this.#mirror === undefined && this.#options.clock.monotonic() - this.#foundAt < STARTING_MS
  }

  /** Reads the state while no events are followed. */
  async #read(): Promise<Look> {
    if (this.#signal.aborted) return 'lost'
    this.phase = 'reading'
    return this.#lookAt(this.#signal, (state) => this.#accept(state))
  }

  /** Follows the events from the mirror's last one, and looks at the state now and then, until either is lost. */
  async #follow(first: Look): Promise<void> {
    const mirror = this.#mirror
    if (mirror === undefined) return
    this.phase = 'following'
    const linked = linkedTo(this.#signal)
    const end = () => linked.abort(new Error('the pod is not followed any more'))
    const events = this.#consume(mirror, linked.signal).finally(end)
    const checks = this.#check(mirror, first, linked.signal).finally(end)
    await Promise.all([events, checks])
    linked.release()
  }

  async #consume(mirror: Mirror, signal: AbortSignal): Promise<void> {
    const from = formatEventId(mirror)
    try {
      for await (const event of this.#options.target.events(signal, from)) {
        if (signal.aborted || this.#mirror !== mirror) return
        const folded = mirror.fold(event)
        if (folded.type === 'lost') return
        if (event.type !== 'stats') this.#etag = undefined
        if (event.type === 'incident') this.#options.onIncident?.(event)
        this.#tellDifference(folded.difference)
        this.#tellWaiters()
      }
    } catch {
      // Why is told by the read that follows, or else was over by then.
    }
  }

  async #check(mirror: Mirror, first: Look, signal: AbortSignal): Promise<void> {
    const { random = Math.random } = this.#options
    let look = first
    let repeats = 0
    // The first one at any time: pods that were connected together are not looked at together ever after.
    let pauseMs = CHECK_MS * random()
    while (!signal.aborted && look !== 'lost') {
      repeats = look === 'again' ? repeats + 1 : 0
      const isSoon = repeats > 0 && repeats <= MAX_CHECKS_AGAIN
      const isWoken = await this.#wokenWithin(isSoon ? CHECK_AGAIN_MS : pauseMs, signal)
      if (!isSoon) pauseMs = CHECK_MS
      // A state that is only being made would be read in vain, hundreds of large ones at a time.
      const isInMaking = !mirror.complete && this.#options.clock.monotonic() - this.#calledAt < CHECK_MS
      if (!isWoken && isInMaking) continue
      if (!signal.aborted) look = await this.#lookAt(signal, (state) => this.#compare(mirror, state, signal))
    }
  }

  /**
   * One read of the state. Afterwards the link says how the pod answers.
   * @param take takes in what was read
   */
  async #lookAt(signal: AbortSignal, take: (state: RuntimeState) => Promise<Look> | Look): Promise<Look> {
    this.#wake = Promise.withResolvers()
    this.#isAskedAnew = false
    const readers = this.#readers
    this.#readers = []
    const etag = this.#etag
    const { begun, ended } = this.#calls
    try {
      const answer = await abandonOnAbort(this.#options.target.state(signal, etag), signal)
      const isOverlapped = () => begun !== ended || begun !== this.#calls.begun
      const look = answer.type === 'state' ? await this.#took(answer, take, isOverlapped) : this.#unchanged(etag)
      if (signal.aborted) throw signal.reason
      for (const resolve of readers) resolve(undefined)
      return look
    } catch (error) {
      if (signal.aborted) {
        this.#readers.push(...readers)
      } else {
        const problem = problemOf(error, 'RuntimeUnreachable')
        if (!this.#isAskedAnew) this.#setLink({ type: 'unreachable', problem })
        for (const resolve of readers) resolve(problem)
      }
      return 'lost'
    }
  }

  #unchanged(etag: string | undefined): Look {
    this.#setLink({ type: 'reachable' })
    // Events came meanwhile: the answer speaks of what was there before them.
    return etag === this.#etag ? 'settled' : 'again'
  }

  async #took(
    answer: { readonly state: RuntimeState; readonly etag?: string | undefined },
    take: (state: RuntimeState) => Promise<Look> | Look,
    isOverlapped: () => boolean,
  ): Promise<Look> {
    const { state } = answer
    const { pod } = this.#options
    if (state.podUid !== undefined && state.podUid !== pod.uid) {
      const message = `another pod (uid ${state.podUid}) answers at the address of pod ${pod.name}`
      throw new ProblemError({ reason: 'WrongTarget', message })
    }
    const look = await take(state)
    const mirror = this.#mirror
    if (mirror === undefined || mirror.bootId !== state.bootId) return look
    this.#tellDifference(mirror.takeCredentials(state))
    if (mirror.seq !== seqOf(state)) return look
    // It may tell of before or after a call, whose own answer told it already.
    if (isOverlapped()) return look === 'lost' ? look : 'again'
    this.#tellDifference(mirror.takeRest(state))
    this.#etag = answer.etag
    return look
  }

  /** The state is the mirror's from now on. Nothing else changes it meanwhile. */
  #accept(state: RuntimeState): Look {
    const before = this.#mirror
    const isLinked = this.link.type === 'reachable'
    this.link = { type: 'reachable' }
    if (before === undefined || before.bootId !== state.bootId) {
      this.#mirror = new Mirror(state, this.#interner)
      this.#calledAt = this.#options.clock.monotonic()
      this.#etag = undefined
      before?.release()
      this.#options.onChange({ items: 'all', bundles: true, link: !isLinked, restarted: before !== undefined })
    } else {
      this.#tellDifference(before.takeUnits(state), !isLinked)
    }
    this.#tellWaiters()
    return 'settled'
  }

  /** Compares a state with the mirror where both hold the same events, and takes it over where they differ. */
  async #compare(mirror: Mirror, state: RuntimeState, signal: AbortSignal): Promise<Look> {
    this.#setLink({ type: 'reachable' })
    const isOther = state.bootId !== mirror.bootId
    const isCaughtUp = isOther || (await this.#reached({ bootId: mirror.bootId, seq: seqOf(state) }, LAG_MS, signal))
    if (isOther || !isCaughtUp) {
      this.#accept(state)
      return 'lost'
    }
    if (mirror.seq > seqOf(state)) return 'again'
    const difference = mirror.takeUnits(state)
    if (isDifferent(difference)) {
      this.#options.onDivergence?.(difference)
      this.#tellDifference(difference)
    }
    return 'settled'
  }

  /** Resolves with true when the mirror holds that event, or is another process's; with false when it takes too long. */
  async #reached(id: { bootId: string; seq: number }, ms: number, signal: AbortSignal): Promise<boolean> {
    const isThere = () => this.#mirror?.bootId !== id.bootId || this.#mirror.seq >= id.seq
    if (isThere()) return true
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiter = { ...id, resolve }
    this.#waiters.push(waiter)
    const timer = this.#options.clock.timer(ms, resolve)
    try {
      await abandonOnAbort(promise, signal)
    } finally {
      timer.cancel()
      this.#waiters = this.#waiters.filter((other) => other !== waiter)
    }
    return isThere()
  }

  #nextRead(): Promise<Problem | undefined> {
    const { promise, resolve } = Promise.withResolvers<Problem | undefined>()
    this.#readers.push(resolve)
    this.refresh()
    return promise
  }

  /** Waits, unless it is woken: then true. */
  async #wokenWithin(ms: number, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = this.#options.clock.timer(ms, () => resolve(false))
    try {
      return await abandonOnAbort(Promise.race([promise, this.#wake.promise.then(() => true)]), signal)
    } catch {
      // Whoever waits looks at the signal.
      return false
    } finally {
      timer.cancel()
    }
  }

  #tellWaiters(): void {
    for (const { bootId, seq, resolve } of this.#waiters) {
      if (this.#mirror?.bootId !== bootId || this.#mirror.seq >= seq) resolve()
    }
  }

  #setLink(link: PodLink): void {
    const isSame = link.type === this.link.type && JSON.stringify(link) === JSON.stringify(this.link)
    this.link = link
    if (!isSame) this.#options.onChange({ ...NOTHING_CHANGED, link: true })
  }

  #tellDifference(difference: Difference, isLink = false): void {
    if (!isLink && !isDifferent(difference)) return
    const { items, bundles } = difference
    this.#options.onChange({ items, bundles, link: isLink, restarted: false })
  }
}

const NOTHING_CHANGED: PodChange = { items: NOTHING.items, bundles: false, link: false, restarted: false }

const isWrongTarget = (error: unknown): boolean =>
  error instanceof ProblemError && error.problem.reason === 'WrongTarget'

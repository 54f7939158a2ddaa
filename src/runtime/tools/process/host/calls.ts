import type { JSONValue } from '@ai-sdk/provider'
import { ProblemError, type Reason } from '../../../../api/index.ts'
import { messageOf } from '../../modules/thrown.ts'
import type { ToolCallContext, ToolLogLine } from '../../port.ts'
import type { Answer, Failure } from '../channel/answers.ts'
import type { ToHost, Work } from '../channel/messages.ts'
import { deadline } from './deadline.ts'
import { type HostEnd, HostLost } from './end.ts'
import { Pulse, STILL_MS } from './pulse.ts'

/** How long a call may go on after it was given up, in milliseconds. */
const SETTLE_MS = 1_000

/** Calls that the end of a host is told with. */
const MAX_TOLD = 5

type Call = {
  readonly what: string
  readonly answered: PromiseWithResolvers<JSONValue>
  readonly log: ToolCallContext['log']
  state: 'sent' | 'begun' | 'givenUp'
  /** Ends the wait for what the host has to do now. */
  settled: () => void
}

export type CallsOptions = {
  readonly send: (message: ToHost) => void
  /** The host does not hear any more that `what` was given up. */
  readonly hangs: (what: string) => void
  /** The host hears, but a call that was given up goes on and on. */
  readonly stuck: () => void
}

/** A host refuses what it was asked for, in its own words: positions are those of the evaluated code. */
export class Refused extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.problem.message)
    this.failure = failure
  }
}

/** The calls of one host. */
export class Calls {
  readonly #options: CallsOptions
  readonly #calls = new Map<number, Call>()
  #asked = 0
  readonly #idle = Promise.withResolvers<void>()
  #draining = false
  readonly #pulse: Pulse

  constructor(options: CallsOptions) {
    this.#options = options
    this.#pulse = new Pulse({ ask: () => options.send({ type: 'ping' }), isNeeded: () => this.underWay > 0 })
  }

  /** Calls that somebody waits for. */
  get underWay(): number {
    return [...this.#calls.values()].filter(({ state }) => state !== 'givenUp').length
  }

  /** What code runs for, given up or not: each once, a few at most. */
  get running(): string[] {
    const begun = [...this.#calls.values()].filter(({ state }) => state !== 'sent')
    return [...new Set(begun.map(({ what }) => what))].slice(0, MAX_TOLD)
  }

  /** Resolves when nobody waits for any call; no other may be started from now on. */
  drain(): Promise<void> {
    this.#draining = true
    this.#checkIdle()
    return this.#idle.promise
  }

  /**
   * Rejects as soon as the signal aborts, with a problem that gives its reason.
   * @throws Refused, HostLost, ProblemError
   */
  async start(work: Work, { signal, session, run, secrets, log }: ToolCallContext): Promise<JSONValue> {
    const what = work.type === 'tool' ? work.name : work.file
    if (signal.aborted) throw aborted(what, signal.reason)
    this.#asked += 1
    const id = this.#asked
    const answered = Promise.withResolvers<JSONValue>()
    const call: Call = { what, answered, log, state: 'sent', settled: () => undefined }
    this.#calls.set(id, call)
    const context = { ...(session && { session }), ...(run && { run }), ...(secrets && { secrets }) }
    this.#options.send({ type: 'call', id, work, context })
    this.#pulse.start()
    const giveUp = () => this.#giveUp(id, call, signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      return await answered.promise
    } finally {
      signal.removeEventListener('abort', giveUp)
      this.#checkIdle()
    }
  }

  /** @throws Error when it is about no call, or none that can be at that point */
  heard(message: Extract<Answer, { type: 'begun' | 'aborted' | 'result' | 'failed' }>): void {
    const call = this.#calls.get(message.id)
    if (message.type === 'aborted') {
      // It may cross with the end of its call.
      if (call !== undefined) this.#heardAbort(call)
      return
    }
    if (call === undefined) throw new Error(`"${message.type}" of a call that nobody made`)
    switch (message.type) {
      case 'begun':
        if (call.state === 'sent') call.state = 'begun'
        return
      case 'result':
      case 'failed':
        call.settled()
        this.#calls.delete(message.id)
        if (message.type === 'result') call.answered.resolve(message.value as JSONValue)
        else call.answered.reject(new Refused(message.failure))
    }
  }

  /** The host's event loop turns. */
  turns(): void {
    this.#pulse.heard()
  }

  /** What a host that is about to go still said before that: whether a call has begun, or even what came of it. */
  heardLate(message: Answer): void {
    const isOfCall = message.type === 'begun' || message.type === 'result' || message.type === 'failed'
    if (isOfCall && this.#calls.has(message.id)) this.heard(message)
  }

  /** @returns true when the line belongs to a call */
  logged(id: number, line: ToolLogLine): boolean {
    const call = this.#calls.get(id)
    call?.log?.(line)
    return call !== undefined
  }

  /** The host is about to go. What had begun is lost; of the rest it is not known yet, for what the host said of it may lie unread. */
  lost(end: HostEnd): void {
    for (const [id, { state }] of this.#calls) if (state !== 'sent') this.#lose(id, end, true)
  }

  /**
   * The host is gone, or is not listened to any more.
   * @param heard whether all that it said was read: what did not begin by then never did
   */
  gone(end: HostEnd, heard: boolean): void {
    for (const [id, { state }] of this.#calls) this.#lose(id, end, !heard || state !== 'sent')
  }

  #lose(id: number, end: HostEnd, begun: boolean): void {
    const call = this.#calls.get(id)
    call?.settled()
    call?.answered.reject(new HostLost(end, begun))
    this.#calls.delete(id)
  }

  #checkIdle(): void {
    if (this.#draining && this.underWay === 0) this.#idle.resolve()
  }

  #giveUp(id: number, call: Call, reason: unknown): void {
    call.state = 'givenUp'
    call.answered.reject(aborted(call.what, reason))
    if (this.#calls.get(id) !== call) return
    this.#options.send({ type: 'abort', id, reason: messageOf(reason) })
    const isOver = isTimeout(reason)
    const judge = (): void => {
      if (isOver || !this.#othersRun) this.#options.hangs(call.what)
    }
    const givenTime = (): void => {
      call.settled = deadline(STILL_MS, judge)
    }
    if (this.#pulse.isStill) call.settled = deadline(0, () => (this.#pulse.isStill ? judge() : givenTime()))
    else givenTime()
  }

  /** Whether code runs that somebody waits for: it may take its time until its own limit, and that is judged then. */
  get #othersRun(): boolean {
    return [...this.#calls.values()].some(({ state }) => state === 'begun')
  }

  #heardAbort(call: Call): void {
    if (call.state !== 'givenUp') return
    call.settled()
    call.settled = deadline(SETTLE_MS, () => this.#options.stuck())
  }
}

/** What those are given up with that have had their time: tools and extensions. Others were cancelled. */
const TIMED_OUT: readonly Reason[] = ['ToolTimeout', 'ExtensionFailed']

const isTimeout = (reason: unknown): boolean =>
  reason instanceof ProblemError ? TIMED_OUT.includes(reason.problem.reason) : Object(reason).name === 'TimeoutError'

function aborted(what: string, reason: unknown): ProblemError {
  if (reason instanceof ProblemError) return reason
  const message = `the call of ${what} was aborted: ${messageOf(reason)}`
  return new ProblemError({ reason: 'ToolFailed', message }, { cause: reason })
}

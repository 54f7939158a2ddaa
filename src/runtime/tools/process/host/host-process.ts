import type { ChildProcess } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { JSONValue } from '@ai-sdk/provider'
import { problemOf } from '../../../../api/index.ts'
import type { StateCopy, StateSession } from '../../author/state.ts'
import type { DynamicLink } from '../../modules/link.ts'
import type { ToolCallContext, ToolLogLine } from '../../port.ts'
import { type Answer, answer, type Loaded, MAX_FRAME_FROM_HOST } from '../channel/answers.ts'
import { encodeFrame, FrameReader } from '../channel/frames.ts'
import type { LoadMessage, ToHost, WarmMessage, Work } from '../channel/messages.ts'
import { Quota } from '../channel/quota.ts'
import { Calls } from './calls.ts'
import { deadline } from './deadline.ts'
import { crowdedOut, endOf, type HostEnd, HostLost, notStarted, overMemory } from './end.ts'
import { Loading } from './loading.ts'
import type { MemoryWatch } from './memory.ts'

/** What the code of a host says of itself, without being asked. */
export type HostEvents = {
  /** @throws ProblemError */
  linkDynamic(from: string, specifier: string): DynamicLink
  /** Its code is given the values as they are now, sets some, and hears what others set. */
  copyStates: StateSession['copy']
  /** A line that no call is about. */
  log(line: ToolLogLine): void
}

export type HostOptions = {
  readonly memory: MemoryWatch
  /** Most resident memory, as it is when it is looked at. */
  readonly memoryMiB: number
}

/** What its code is connected to. */
type Serving = {
  readonly events: HostEvents
  readonly states: StateCopy /** Number of the last write that came. */
  seen: number
}

type State =
  | { readonly type: 'warm' }
  | { readonly type: 'loading'; readonly loading: Loading; readonly serving: Serving }
  | { readonly type: 'serving'; readonly serving: Serving }
  | { readonly type: 'ended'; readonly end: HostEnd }

/** How long a process may take until it is ready for a load, in milliseconds, on a machine that has no time. */
const START_MS = 30_000
/** How long a host may take to end by itself, in milliseconds. */
const END_MS = 500
const NOT_READY: HostEnd = { cause: 'deadline', message: `was not ready ${START_MS} ms after its start` }
/** The end that nobody asks about. */
export const CLOSED: HostEnd = { cause: 'exit', message: 'was taken out of service' }

/** One child process from outside: it loads once, and then serves calls until it ends. Nothing that it says is trusted. */
export class HostProcess {
  readonly #child: ChildProcess
  /** A process that could not be started has none. */
  readonly #channels: Channels | undefined
  readonly #calls: Calls
  readonly #quota = new Quota()
  readonly #unwatch: () => void
  readonly #gone = Promise.withResolvers<void>()
  readonly #ready = Promise.withResolvers<void>()
  readonly #stuck = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<HostEnd>()
  #state: State = { type: 'warm' }
  /** What the process said of its end. */
  #lastWords: HostEnd | undefined

  constructor(child: ChildProcess, { memory, memoryMiB }: HostOptions) {
    this.#child = child
    this.#channels = channelsOf(child)
    const sent = (message: ToHost) => this.#send(message)
    this.#calls = new Calls({ send: sent, hangs: (what) => this.kill(hangs(what)), stuck: () => this.#stuck.resolve() })
    const over = (bytes: number) => this.kill(overMemory(bytes, memoryMiB))
    const crowds = (bytes: number, containerBytes: number) => this.kill(crowdedOut(bytes, containerBytes))
    const limitBytes = memoryMiB * 1_048_576
    this.#unwatch = child.pid === undefined ? () => undefined : memory.add({ pid: child.pid, limitBytes, over, crowds })
    child.on('error', (error) => {
      if (child.pid === undefined) this.#goes(notStarted(error))
    })
    // Not 'exit': what the process still said comes first.
    child.on('close', (code, signal) => {
      this.#goes(this.#lastWords ?? endOf(code, signal))
    })
    this.#listen()
  }

  /** Resolves when it can serve no more, as soon as that is known. */
  get ended(): Promise<HostEnd> {
    return this.#ended.promise
  }

  /** Resolves when a call goes on and on after it was given up, though the event loop turns. */
  get stuck(): Promise<void> {
    return this.#stuck.promise
  }

  /** Resolves when a load finds everything warm, or it ended before. */
  get ready(): Promise<unknown> {
    return Promise.race([this.#ready.promise, this.#ended.promise])
  }

  /** Resolves when the process is gone. */
  get gone(): Promise<void> {
    return this.#gone.promise
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isEnded(): boolean {
    return this.#state.type === 'ended'
  }

  /** Calls that somebody waits for. */
  get callsUnderWay(): number {
    return this.#calls.underWay
  }

  /** Ends it as soon as nobody waits for any of its calls. No other may be started from now on. */
  async retire(end: HostEnd): Promise<void> {
    await this.#calls.drain()
    this.kill(end)
  }

  /** Has code loaded and called that says nothing, so that what is loaded then is fast. Loads wait for it. */
  warm(message: WarmMessage): void {
    this.#send(message)
  }

  /**
   * Loads code, as it is asked for when the host is ready; once in the life of a host. A host that fails at it is ended.
   * @throws Refused, ProblemError ToolLoadTimeout, SelfTestFailed; HostLost, not begun when it ended before it was warm
   */
  async load(message: () => LoadMessage, events: HostEvents): Promise<Loaded> {
    await this.#whenReady()
    if (this.#state.type === 'ended') throw new HostLost(this.#state.end, false)
    const serving = this.#connect(events)
    const current = message()
    const loading = new Loading(current.timeoutMs)
    this.#state = { type: 'loading', loading, serving }
    this.#send(current)
    try {
      const loaded = await loading.result()
      if (this.#state.type === 'loading') this.#state = { type: 'serving', serving }
      return loaded
    } catch (error) {
      this.kill(CLOSED)
      throw error
    }
  }

  /**
   * Has code run. Rejects as soon as the signal aborts, with its reason.
   * @throws Refused, HostLost
   */
  call(work: Work, context: ToolCallContext): Promise<JSONValue> {
    if (this.#state.type === 'ended') return Promise.reject(new HostLost(this.#state.end, false))
    return this.#calls.start(work, context)
  }

  /** Ends the process in good order: code hears of it first. Calls under way reject. Resolves when it is gone. */
  async close(): Promise<void> {
    if (this.#state.type !== 'ended') {
      this.#send({ type: 'end' })
      this.#finish(CLOSED)
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_MS)
      this.#gone.promise.finally(() => clearTimeout(timer))
    }
    await this.#gone.promise
  }

  /** Ends the process at once. */
  kill(end: HostEnd): void {
    if (this.#channels !== undefined) this.#child.kill('SIGKILL')
    this.#finish(end)
  }

  #finish(end: HostEnd): void {
    const before = this.#state
    if (before.type === 'ended') return
    this.#state = { type: 'ended', end }
    this.#unwatch()
    if (before.type !== 'warm') before.serving.states.close()
    if (before.type === 'loading') before.loading.lost(end)
    this.#ended.resolve({ ...end, during: this.#calls.running })
    this.#calls.lost(end)
  }

  #goes(end: HostEnd): void {
    this.#finish(end)
    this.#heardLast(true)
    this.#gone.resolve()
  }

  /** @param heard whether all that it said was read */
  #heardLast(heard: boolean): void {
    if (this.#state.type === 'ended') this.#calls.gone(this.#state.end, heard)
  }

  #connect(events: HostEvents): Serving {
    const states = events.copyStates((name, value) => this.#send({ type: 'state', name, value, seen: serving.seen }))
    const serving: Serving = { events, states, seen: 0 }
    return serving
  }

  async #whenReady(): Promise<void> {
    const settled = deadline(START_MS, () => this.kill(NOT_READY))
    await this.ready
    settled()
  }

  #send(message: ToHost): void {
    this.#channels?.toHost.write(encodeFrame(JSON.stringify(message)))
  }

  #listen(): void {
    if (this.#channels === undefined) return
    const { fromHost } = this.#channels
    const reader = new FrameReader(MAX_FRAME_FROM_HOST)
    fromHost.on('data', (chunk: Buffer) => {
      try {
        reader.read(chunk, chunk.length, (text) => this.#take(text))
      } catch (error) {
        this.kill(unreadable(error))
        this.#heardLast(false)
        fromHost.destroy()
      }
    })
  }

  /** @throws when it is nothing that a host may say now */
  #take(text: string): void {
    const message = answer.parse(JSON.parse(text))
    const isAsked = message.type === 'result' || message.type === 'failed' || message.type === 'loaded'
    if (!(isAsked || this.#quota.allows(text.length, performance.now())))
      throw new Error('it floods its channel with messages')
    if (this.#state.type === 'ended') this.#calls.heardLate(message)
    else this.#heard(message)
  }

  #heard(message: Answer): void {
    switch (message.type) {
      case 'ready':
        this.#ready.resolve()
        return
      case 'pong':
        this.#calls.turns()
        return
      case 'evaluating':
      case 'checking':
      case 'loaded':
      case 'refused':
        if (this.#state.type !== 'loading') throw new Error(`"${message.type}" while nothing is loaded`)
        this.#state.loading.heard(message)
        return
      case 'begun':
      case 'aborted':
      case 'result':
      case 'failed':
        this.#calls.heard(message)
        return
      case 'log':
      case 'link':
      case 'state':
        this.#heardOfCode(message)
        return
      case 'fatal': {
        const { message: what, stack } = message
        this.#lastWords = { cause: 'uncaught', message: what, stack }
        return
      }
    }
  }

  #heardOfCode(message: Extract<Answer, { type: 'log' | 'link' | 'state' }>): void {
    if (this.#state.type !== 'loading' && this.#state.type !== 'serving')
      throw new Error(`"${message.type}" before anything is loaded`)
    const { serving } = this.#state
    const { events } = serving
    switch (message.type) {
      case 'log':
        if (!this.#calls.logged(message.id, message.line as ToolLogLine)) events.log(message.line as ToolLogLine)
        return
      case 'state':
        serving.seen = message.at
        serving.states.write(message.name, message.value)
        return
      case 'link':
        this.#send(linked(message, events))
    }
  }
}

function linked({ id, from, specifier }: Extract<Answer, { type: 'link' }>, events: HostEvents): ToHost {
  try {
    return { type: 'linked', id, ...events.linkDynamic(from, specifier) }
  } catch (error) {
    return { type: 'notLinked', id, problem: problemOf(error, 'ImportNotFound') }
  }
}

const hangs = (what: string): HostEnd => ({
  cause: 'deadline',
  message: `stood still when ${what} was given up: its code never yields`,
})

const unreadable = (error: unknown): HostEnd => ({
  cause: 'protocol',
  message: `was ended for what it sent: ${error instanceof Error ? error.message.slice(0, 200) : 'it cannot be read'}`,
})

type Channels = { readonly toHost: Writable; readonly fromHost: Readable }

/** Undefined of a process that was not started, whatever of its channels is there. */
function channelsOf({ pid, stdio }: ChildProcess): Channels | undefined {
  // Of a process that is gone its end is told elsewhere. Node makes no streams at all when it lacks descriptors.
  for (const stream of (stdio as ChildProcess['stdio'] | undefined) ?? []) stream?.on('error', () => undefined)
  return pid === undefined ? undefined : { toHost: stdio[3] as Writable, fromHost: stdio[4] as Readable }
}

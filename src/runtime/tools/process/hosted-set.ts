import type { JSONObject, JSONValue } from '@ai-sdk/provider'
import { type EndCause, ProblemError } from '../../../api/index.ts'
import { abandonOnAbort } from '../../../clock.ts'
import type { ExtensionDescription, LoadReport, ToolCallContext, ToolDescription, ToolSet } from '../port.ts'
import type { Loaded } from './channel/answers.ts'
import type { LoadMessage, Work } from './channel/messages.ts'
import { callProblem, loadProblem, type Source } from './failures.ts'
import { type HostEnd, HostLost } from './host/end.ts'
import type { HostEvents, HostProcess } from './host/host-process.ts'
import type { Resting } from './resting.ts'

/** What sets of one runtime share. */
export type HostSupply = {
  /** Gives a fresh host to who loads something into it. */
  readonly useHost: <T>(load: (host: HostProcess) => Promise<T>) => Promise<T>
  /** How long to wait for another host, in milliseconds, after hosts of a set died at these moments. */
  readonly restartDelay: (deaths: readonly number[], now: number) => number
  readonly onRestart: (cause: EndCause) => void
  /** Called when a set is disposed of. */
  readonly disposed: (set: HostedSet) => void
}

export type HostedSetOptions = {
  readonly source: Source
  readonly report: LoadReport
  /** The host that loaded the code, and what it said of it. */
  readonly host: HostProcess
  readonly loaded: Loaded
  readonly events: HostEvents
  /** What another host has to load to take its place. */
  readonly load: () => LoadMessage
  readonly supply: HostSupply
  /** Told of each of its hosts that ended before its time. */
  readonly lost: (end: HostEnd) => void
  /** Called once, when the set is disposed of. */
  readonly closed: () => void
}

type State =
  | { readonly type: 'serving'; readonly host: HostProcess }
  | { readonly type: 'starting'; readonly host: Promise<HostProcess> }
  /** Until somebody calls. */
  | { readonly type: 'asleep' }
  /** Its hosts died so often that the next one waits. */
  | { readonly type: 'throttled'; readonly until: number; readonly because: HostEnd }
  | { readonly type: 'disposed' }

/** How often a call looks for a host that takes it. */
const MAX_ATTEMPTS = 3
/** Deaths that are remembered: more make no difference. */
const MAX_DEATHS = 32
const STUCK: HostEnd = { cause: 'deadline', message: 'was ended: a call that was given up went on and on' }
const GONE = 'the version of the tool was taken out of service'

/** What one version of a bundle serves, in a host of its own: when that dies, another takes its place. */
export class HostedSet implements ToolSet, Resting {
  readonly tools: readonly ToolDescription[]
  readonly extensions: readonly ExtensionDescription[]
  readonly warnings: readonly string[]
  readonly report: LoadReport
  readonly #options: HostedSetOptions
  readonly #deaths: number[] = []
  readonly #leaving = new Set<Promise<void>>()
  #state: State
  #hasServed = false

  constructor(options: HostedSetOptions) {
    const { source, loaded, report, host } = options
    const bundle = source.bundle.name
    this.#options = options
    this.tools = loaded.tools.map((tool) => ({ ...tool, bundle }) as ToolDescription)
    this.extensions = loaded.extensions.map((extension) => ({ ...extension, bundle }))
    this.warnings = [...source.linker.warnings, ...loaded.warnings]
    this.report = report
    this.#state = { type: 'serving', host }
    this.#follow(host)
  }

  get bundle(): string {
    return this.#options.source.bundle.name
  }

  get hasServed(): boolean {
    return this.#hasServed
  }

  /** It serves, or did: what is called is known to. */
  served(): void {
    this.#hasServed = true
  }

  /** Whether it has a host. */
  get isAwake(): boolean {
    return this.#state.type === 'serving' || this.#state.type === 'starting'
  }

  /** Whether its host could be ended without anybody noticing. */
  get isIdle(): boolean {
    return this.#state.type === 'serving' && this.#state.host.callsUnderWay === 0
  }

  async call(name: string, args: JSONObject, context: ToolCallContext): Promise<JSONValue> {
    const tool = this.tools.find((known) => known.name === name)
    if (tool === undefined) throw new ProblemError({ reason: 'ToolNotFound', message: `no tool "${name}"` })
    return this.#perform({ type: 'tool', name, args }, tool, context)
  }

  async extend(file: string, event: JSONObject, context: ToolCallContext): Promise<JSONValue> {
    const extension = this.extensions.find((known) => known.file === file)
    if (extension === undefined)
      throw new ProblemError({ reason: 'ExtensionFailed', message: `no extension ${file}`, file })
    return this.#perform({ type: 'extension', file, event }, { file }, context)
  }

  /** Ends the host until somebody calls. */
  sleep(): void {
    if (this.#state.type !== 'serving') return
    const { host } = this.#state
    this.#state = { type: 'asleep' }
    this.#leave(host.close())
  }

  /** Resolves when none of its processes is left. */
  async dispose(): Promise<void> {
    const state = this.#state
    this.#state = { type: 'disposed' }
    if (state.type !== 'disposed') {
      this.#options.closed()
      this.#options.supply.disposed(this)
    }
    if (state.type === 'serving') this.#leave(state.host.close())
    if (state.type === 'starting') this.#leave(state.host.then((host) => host.close()).catch(() => undefined))
    await Promise.all(this.#leaving)
  }

  async #perform(
    work: Work,
    { file, idempotent }: { readonly file: string; readonly idempotent?: true },
    context: ToolCallContext,
  ): Promise<JSONValue> {
    this.served()
    for (let attempt = 1; ; attempt += 1) {
      const host = await abandonOnAbort(this.#host(), context.signal)
      try {
        return await host.call(work, context)
      } catch (error) {
        const mayMove = error instanceof HostLost && (!error.begun || (idempotent && attempt === 1))
        if (!mayMove || attempt === MAX_ATTEMPTS || this.#state.type === 'disposed')
          throw callProblem(error, work, file, this.#options.source)
      }
    }
  }

  async #host(): Promise<HostProcess> {
    const state = this.#state
    switch (state.type) {
      case 'serving':
        // It may have died just now, before its end was told.
        return state.host.isEnded ? this.#replace(state.host) : state.host
      case 'starting':
        return state.host
      case 'asleep':
        return this.#start()
      case 'throttled': {
        const left = state.until - performance.now()
        if (left <= 0) return this.#start()
        throw this.#throttledProblem(state.because, left)
      }
      case 'disposed':
        throw new ProblemError({ reason: 'ToolFailed', message: GONE })
    }
  }

  async #replace(dead: HostProcess): Promise<HostProcess> {
    this.#lost(dead, await dead.ended)
    return this.#host()
  }

  #throttledProblem(because: HostEnd, leftMs: number): ProblemError {
    const { name } = this.#options.source.bundle
    const message = `the process of the tools of bundle ${name} died ${this.#deaths.length} times, the last time because it ${because.message}; it is started again in ${Math.ceil(leftMs / 1000)} s`
    return new ProblemError({ reason: 'ToolFailed', message })
  }

  #follow(host: HostProcess): void {
    void host.ended.then((end) => this.#lost(host, end))
    void host.stuck.then(() => this.#stuck(host))
  }

  /** The host that serves is gone, or of no use any more. */
  #lost(host: HostProcess, end: HostEnd): void {
    if (this.#state.type !== 'serving' || this.#state.host !== host) return
    this.#options.supply.onRestart(end.cause)
    this.#options.lost(end)
    this.#leave(host.gone)
    if (!this.#throttle(end)) void this.#start().catch(() => undefined)
  }

  /** @returns whether the next host has to wait */
  #throttle(end: HostEnd): boolean {
    const now = performance.now()
    this.#deaths.push(now)
    if (this.#deaths.length > MAX_DEATHS) this.#deaths.shift()
    const delay = this.#options.supply.restartDelay(this.#deaths, now)
    if (delay > 0) this.#state = { type: 'throttled', until: now + delay, because: end }
    return delay > 0
  }

  #start(): Promise<HostProcess> {
    const host = this.#load()
    this.#state = { type: 'starting', host }
    return host
  }

  async #load(): Promise<HostProcess> {
    const { supply, load, events, source } = this.#options
    let host: HostProcess
    try {
      host = await supply.useHost(async (fresh) => {
        await fresh.load(load, events)
        return fresh
      })
    } catch (error) {
      const end = error instanceof HostLost ? error.end : endOfLoad(error)
      if (this.#state.type === 'starting') {
        this.#options.lost(end)
        if (!this.#throttle(end)) this.#state = { type: 'asleep' }
      }
      throw loadProblem(error, source)
    }
    if (this.#state.type === 'starting') this.#state = { type: 'serving', host }
    this.#follow(host)
    return host
  }

  /** Calls that go well are let finish; new ones go to another host. */
  #stuck(host: HostProcess): void {
    if (this.#state.type !== 'serving' || this.#state.host !== host) return
    this.#lost(host, STUCK)
    this.#leave(host.retire(STUCK).then(() => host.gone))
  }

  #leave(gone: Promise<void>): void {
    this.#leaving.add(gone)
    void gone.then(() => this.#leaving.delete(gone))
  }
}

const endOfLoad = (error: unknown): HostEnd => ({
  cause: 'exit',
  message: `could not load its code again: ${error instanceof Error ? error.message : error}`,
})

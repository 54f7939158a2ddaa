import { type Problem, ProblemError } from '../../api/index.ts'
import { abandonOnAbort, type Clock, type Linked, linkedTo, sleep, type Timer } from '../../clock.ts'
import { exponentialBackoff, isApiError, keyOfName, type ObjectName } from '../../kube/index.ts'
import type { Log } from '../../log.ts'
import type { BootContents } from './contents.ts'
import type { BootOwner, BootSecrets } from './secrets.ts'
import { NO_SEEDS, type Seeds, seedsOf } from './seeds.ts'
import { BootSlots, type BootSlotsOptions } from './slots.ts'

/** What all boot records share. */
export type BootRecordDeps = {
  readonly secrets: BootSecrets
  readonly fence: number
  readonly clock: Clock
  readonly log: Pick<Log, 'warn'>
  readonly random?: () => number
  readonly pack?: BootSlotsOptions['pack']
  /** Runs a task when not too many others do: each holds a set in memory. */
  readonly inTurn: <T>(task: () => Promise<T>) => Promise<T>
  /** Whether a Secret is still as it was at that version, or still not there, as far as anybody knows. */
  readonly stands: (secret: ObjectName, resourceVersion: string | undefined) => boolean
}

export type BootRecordOptions = BootRecordDeps & {
  readonly runtime: ObjectName
  /** The AgentRuntime; undefined when it is gone or going. */
  readonly owner: () => BootOwner | undefined
  /** It has been read, or its problem is another. */
  readonly onChange: () => void
}

/** Shortest time between two sets of one AgentRuntime, in milliseconds. */
export const WRITE_PAUSE_MS = 5_000
/** Changes that come together are written together. */
const GATHER_MS = 500
/** Longest time for one set to be written, in milliseconds: some requests of a megabyte. */
const WRITE_MS = 60_000
/** How long the set before stays, in milliseconds: who reads slot by slot must not find neither of the two. */
const GRACE_MS = 2_000
const READ_BACKOFF = { baseMs: 250, maxMs: 30_000, jitter: 0.2 }
const WRITE_BACKOFF = { baseMs: WRITE_PAUSE_MS, maxMs: 60_000, jitter: 0.2 }

type State =
  | { readonly type: 'reading' }
  | { readonly type: 'resting' }
  | { readonly type: 'due'; readonly timer: Timer }
  | { readonly type: 'writing'; readonly done: Promise<void>; readonly isOutdated: boolean }
  | { readonly type: 'ended' }

/**
 * The boot set of one AgentRuntime: read once, at the beginning, then written whenever what it is to hold has changed,
 * at most every 5 s. One that cannot be written is a problem that is told, and stops nothing.
 */
export class BootRecord {
  readonly #options: BootRecordOptions
  readonly #life: Linked
  readonly #slots: BootSlots
  #state: State = { type: 'reading' }
  #seeds: Seeds | undefined
  #contents: () => BootContents | undefined = () => undefined
  /** On the monotonic clock. */
  #notBefore = 0
  #failures = 0
  #problem: Problem | undefined

  /** Reads until it has read. Once the signal has aborted only `flush` writes. */
  constructor(options: BootRecordOptions, signal: AbortSignal) {
    const { clock } = options
    this.#options = options
    this.#life = linkedTo(signal)
    this.#slots = new BootSlots({ ...options, now: () => clock.now() })
    this.#signal.addEventListener('abort', () => this.#rest(), { once: true })
    void this.#read()
  }

  /** What was known before this process; undefined while it is being read, empty once something is to be kept. */
  get seeds(): Seeds | undefined {
    return this.#seeds
  }

  /** Why the set in the cluster is not what it is to be. */
  get problem(): Problem | undefined {
    return this.#problem
  }

  /** Whether a Secret of the AgentRuntime that went is missed: of a boot set, what this operator took away is not. */
  isMissed(secret: string): boolean {
    return this.#slots.isMissed(this.#options.runtime.name, secret)
  }

  /** What is to be kept may be another from now on. Asked for when it is written. */
  keep(contents: () => BootContents | undefined): void {
    this.#contents = contents
    this.#seeds = NO_SEEDS
    if (this.#state.type === 'resting') this.#schedule()
    else if (this.#state.type === 'writing') this.#state = { ...this.#state, isOutdated: true }
  }

  /** Writes what is not written yet, without a pause. Never rejects. */
  async flush(signal: AbortSignal): Promise<void> {
    this.#rest()
    try {
      if (this.#state.type === 'writing') await abandonOnAbort(this.#state.done, signal)
      if (this.#state.type === 'resting' && (await this.#write(signal))) await this.#clear(signal)
    } catch (error) {
      this.#failed(error)
    }
  }

  /** The AgentRuntime is gone: its Secrets go with it. */
  end(): void {
    this.#rest()
    this.#state = { type: 'ended' }
    this.#life.abort(new Error('the AgentRuntime is gone'))
    this.#life.release()
  }

  get #signal(): AbortSignal {
    return this.#life.signal
  }

  #rest(): void {
    if (this.#state.type !== 'due') return
    this.#state.timer.cancel()
    this.#state = { type: 'resting' }
  }

  async #read(): Promise<void> {
    const { clock, inTurn, onChange, random = Math.random } = this.#options
    const backoff = exponentialBackoff({ ...READ_BACKOFF, random })
    for (let failures = 0; this.#state.type === 'reading' && !this.#signal.aborted; failures += 1) {
      if (failures > 0) await sleep(clock, backoff(failures - 1), this.#signal).catch(ignore)
      const seeds = await inTurn(() => this.#readOnce()).catch((error: unknown) => this.#warn('read', error))
      if (seeds === undefined || this.#state.type !== 'reading') continue
      this.#seeds = seeds
      this.#state = { type: 'resting' }
      onChange()
    }
  }

  async #readOnce(): Promise<Seeds> {
    const { runtime, log, owner } = this.#options
    const { namespace, name, uid } = owner() ?? { ...runtime, uid: '' }
    const { set, problems } = await this.#slots.read(runtime, `${namespace}/${name}/${uid}`, this.#signal)
    for (const problem of problems) log.warn(problem, { runtime: keyOfName(runtime) })
    return set === undefined ? NO_SEEDS : seedsOf(set)
  }

  #schedule(): void {
    if (this.#signal.aborted) return
    const { clock } = this.#options
    const afterMs = Math.max(GATHER_MS, this.#notBefore - clock.monotonic())
    const timer = clock.timer(afterMs, () => {
      this.#state = { type: 'writing', done: this.#attempt(), isOutdated: false }
    })
    this.#state = { type: 'due', timer }
  }

  async #attempt(): Promise<void> {
    const { clock, inTurn } = this.#options
    // Not the operator's own signal: what was begun is finished when it stops.
    const limit = new AbortController()
    const timer = clock.timer(WRITE_MS, () => limit.abort(new Error('it took too long')))
    let isToBeTriedAgain = false
    try {
      if (await inTurn(() => this.#write(limit.signal))) {
        await sleep(clock, GRACE_MS, this.#signal).catch(ignore)
        await this.#clear(limit.signal)
      }
    } catch (error) {
      isToBeTriedAgain = this.#failed(error)
    } finally {
      timer.cancel()
    }
    if (this.#state.type !== 'writing') return
    const { isOutdated } = this.#state
    this.#state = { type: 'resting' }
    if (isOutdated || isToBeTriedAgain) this.#schedule()
  }

  /** @returns whether a set was written; false when what is there is the same */
  async #write(signal: AbortSignal): Promise<boolean> {
    const { clock, owner } = this.#options
    const contents = this.#contents()
    const by = owner()
    if (contents === undefined || by === undefined) return false
    const isWritten = await this.#slots.bring(contents, by, signal)
    this.#notBefore = clock.monotonic() + WRITE_PAUSE_MS
    this.#failures = 0
    this.#setProblem(undefined)
    return isWritten
  }

  /** What is left in a slot does no harm: the next write tries again. */
  async #clear(signal: AbortSignal): Promise<void> {
    await this.#slots.clear(this.#options.runtime, signal).catch((error: unknown) => this.#warn('cleared', error))
  }

  /** @returns whether time alone can help */
  #failed(error: unknown): boolean {
    const { clock, random = Math.random } = this.#options
    const isKnown = error instanceof ProblemError && error.problem.message === this.#problem?.message
    if (!isKnown) this.#warn('written', error)
    const problem = problemOf(error)
    if (problem) this.#setProblem(problem)
    if (problem?.reason === 'BootSetTooLarge') {
      this.#notBefore = clock.monotonic() + WRITE_PAUSE_MS
      return false
    }
    this.#notBefore = clock.monotonic() + exponentialBackoff({ ...WRITE_BACKOFF, random })(this.#failures)
    this.#failures += 1
    return true
  }

  #setProblem(problem: Problem | undefined): void {
    if (this.#problem?.message === problem?.message) return
    this.#problem = problem
    this.#options.onChange()
  }

  #warn(what: string, error: unknown): undefined {
    if (this.#signal.aborted && what === 'read') return
    const { log, runtime } = this.#options
    log.warn(`a boot set could not be ${what}`, { runtime: keyOfName(runtime), problem: describe(error) })
  }
}

/** What is to be told. Who was too late, or too early, says nothing. */
function problemOf(error: unknown): Problem | undefined {
  if (error instanceof ProblemError) return error.problem
  if (!isApiError(error) || error.code < 400 || error.code >= 500 || [409, 429].includes(error.code)) return undefined
  return {
    reason: 'BootSetNotWritten',
    message: `the API server refuses a Secret of the boot set (${describe(error)}): pods that start while no operator runs get an older one; grant the right, or raise the quota`,
  }
}

/** An answer to a Secret that was written may quote it: only a refusal of rights or quota is repeated. */
function describe(error: unknown): string {
  if (error instanceof ProblemError) return error.problem.message
  if (!isApiError(error)) return error instanceof Error ? error.name : 'unknown'
  return error.code === 403 ? `403 ${error.message}` : `${error.code} ${error.reason}`
}

const ignore = () => undefined

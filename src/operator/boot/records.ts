import { keyOfName, type ObjectKey, type ObjectName } from '../../kube/index.ts'
import { BootRecord, type BootRecordDeps, type BootRecordOptions } from './record.ts'

/** Longest time for everything to be written when the operator stops, in milliseconds. */
const FLUSH_MS = 5_000

/** The boot records of all AgentRuntimes. */
export class BootRecords {
  readonly #deps: BootRecordDeps
  readonly #signal: AbortSignal
  readonly #records = new Map<ObjectKey, BootRecord>()

  constructor(deps: BootRecordDeps, signal: AbortSignal) {
    this.#deps = deps
    this.#signal = signal
  }

  /** Begins to read that of an AgentRuntime. */
  open(runtime: ObjectName, about: Pick<BootRecordOptions, 'owner' | 'onChange'>): BootRecord {
    const record = new BootRecord({ ...this.#deps, ...about, runtime }, this.#signal)
    this.#records.set(keyOfName(runtime), record)
    return record
  }

  /** Whether a Secret of an AgentRuntime that went is missed: of a boot set, what this operator took away is not. */
  isMissed({ namespace, name }: ObjectName, runtime: string): boolean {
    return this.#records.get(keyOfName({ namespace, name: runtime }))?.isMissed(name) ?? true
  }

  /** The AgentRuntime is gone. */
  end(runtime: ObjectName): void {
    this.#records.get(keyOfName(runtime))?.end()
    this.#records.delete(keyOfName(runtime))
  }

  /** To be called when the operator stops: writes what is not written yet, as far as there is time. */
  async flush(): Promise<void> {
    const { clock, inTurn } = this.#deps
    const limit = new AbortController()
    const timer = clock.timer(FLUSH_MS, () => limit.abort(new Error('the operator stops')))
    await Promise.all([...this.#records.values()].map((record) => inTurn(() => record.flush(limit.signal))))
    timer.cancel()
  }
}

import type { BundleFiles, ItemResult, ProbationSpec, Problem } from '../../../api/index.ts'
import type { LoadedBundle } from '../../files/loaded.ts'
import type { BundleArrivals } from '../arrivals/bundle-arrivals.ts'
import type { GoodVersions } from '../arrivals/good-versions.ts'
import type { Failed, Settlement } from '../observer.ts'
import { type Failing, Probation } from './probation.ts'

/** What probation needs of a registry. */
export type BundleProbationPort = {
  readonly bundles: BundleArrivals
  readonly good: GoodVersions
  /** What the settings say now. */
  spec(): ProbationSpec | undefined
  now(): number
  /** Hash that serves under a name. */
  serving(name: string): string | undefined
  /** Decides again what should serve under a name, and loads it. */
  again(name: string, how: Pick<Settlement, 'source' | 'wentBack'>): Promise<ItemResult>
  failed(failed: Failed): void
}

/** Keeps new versions of bundles on probation, and puts the last good one back for one that fails. */
export class BundleProbation {
  readonly #port: BundleProbationPort
  readonly #probation = new Probation()

  constructor(port: BundleProbationPort) {
    this.#port = port
  }

  /** Another version of a bundle serves now, or none any more. */
  serves(name: string, files: BundleFiles | undefined): void {
    const isHeld = files !== undefined && this.#port.bundles.pins.get(name) === files.hash
    this.#probation.serves(name, files, { ...this.#terms, isHeld })
  }

  /**
   * A call of a tool or extension file has ended.
   * @returns what is done because of it; never rejects
   */
  async called(version: LoadedBundle, file: string, problem: Problem | undefined): Promise<void> {
    const { name, hash } = version
    const failing = this.#probation.called(name, hash, { ...this.#terms, file, problem })
    if (failing === undefined) return
    const { back, error } = failing
    if (back === undefined) this.#stays(failing, 'there is no earlier version to go back to')
    else await this.#goBack(failing, back).catch((thrown: unknown) => this.#stays({ name, error }, String(thrown)))
  }

  get #terms() {
    const spec = this.#port.spec()
    return { spec: spec?.seconds === 0 ? undefined : spec, now: this.#port.now() }
  }

  async #goBack({ name, hash, error: cause }: Failing, back: BundleFiles): Promise<void> {
    const { bundles, good, serving, again } = this.#port
    const reason = 'RevertedByProbation'
    const error: Problem = {
      ...cause,
      reason,
      message: `version ${hash} was gone back from, to ${back.hash}: ${cause.message}`,
    }
    if (!bundles.revert(hash, { files: back, error }))
      return this.#stays({ name, error: cause }, 'it is held there, or newer files are on their way')
    const result = await again(name, { source: 'probation', wentBack: { cause: 'probation', error } })
    if (serving(name) !== hash) return good.drop(name, hash)
    bundles.pardon(name)
    await again(name, { source: 'probation' })
    const why = result.error === undefined ? 'the one before cannot serve any more' : result.error.message
    this.#stays({ name, error: cause }, `the one before, ${back.hash}, cannot serve: ${why}`)
  }

  #stays({ name, error }: Pick<Failing, 'name' | 'error'>, why: string): void {
    const message = `bundle ${name} fails on probation and goes on serving, for ${why}. ${error.message}`
    this.#port.failed({ bundle: name, problem: { ...error, message } })
  }
}

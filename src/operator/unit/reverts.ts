import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { runtimeStatus } from '../../api/index.ts'
import type { PodFailure, Verdict } from '../ports.ts'
import { bundleUnit } from '../unit-id.ts'
import type { PodEntry } from './pods.ts'

/** A version of a bundle that pods have gone back from by themselves. */
export type Revert = Verdict & {
  /** Hash that they went back to; undefined where they differ. */
  readonly back: string | undefined
}

type Known = Revert & { readonly processes: readonly Process[] }
type Process = { readonly uid: string; readonly bootId: string }

type Pod = Pick<PodEntry, 'name' | 'uid' | 'connection'>

/**
 * What pods say they have gone back from counts as refused by all, as long as it is what is declared, and one of them
 * says so. When all of them are gone, or have started anew, it is remembered; when one that is still there says so no
 * more, somebody wants it tried again. Until each pod has told its state once, what the status says counts too, which an
 * earlier process wrote: who is slow to answer may be the one that went back.
 */
export class Reverts {
  readonly #known = new Map<string, Known>()
  #haveAllTold = false

  /** By unit. */
  get verdicts(): ReadonlyMap<string, Revert> {
    return this.#known
  }

  /**
   * @param status of the AgentRuntime
   * @returns whether any verdict came, changed or went
   */
  observe(pods: readonly Pod[], declared: Iterable<readonly [string, string | undefined]>, status: unknown): boolean {
    this.#haveAllTold ||= pods.length > 0 && pods.every(({ connection }) => connection.state !== undefined)
    const written = this.#haveAllTold ? NONE : writtenReverts(status)
    const wanted = new Map([...declared].map(([name, hash]) => [bundleUnit(name), { name, hash }]))
    let isOther = false
    for (const unit of this.#known.keys()) if (!wanted.has(unit)) isOther = this.#known.delete(unit)
    for (const [unit, { name, hash }] of wanted) {
      const before = this.#known.get(unit)
      const now = hash === undefined ? undefined : next(before, pods, { name, hash, written: written.get(name) })
      if (isDeepStrictEqual(before, now)) continue
      isOther = true
      if (now === undefined) this.#known.delete(unit)
      else this.#known.set(unit, now)
    }
    return isOther
  }
}

type Declared = { readonly name: string; readonly hash: string; readonly written: Known | undefined }

function next(before: Known | undefined, pods: readonly Pod[], { name, hash, written }: Declared): Known | undefined {
  const reverted = pods.flatMap((pod) => revertOf(pod, name, hash) ?? []).sort((a, b) => (a.pod < b.pod ? -1 : 1))
  const [first] = reverted
  if (first === undefined) {
    const isRemembered = before?.revision === hash && before.processes.length > 0
    if (isRemembered && before.processes.every(isOver(pods))) return before
    return written?.revision === hash ? written : undefined
  }
  const known: Known = {
    revision: hash,
    failures: reverted.map(({ failure }) => failure),
    back: reverted.every(({ active }) => active === first.active) ? first.active : undefined,
    processes: reverted.map(({ process }) => process),
  }
  return known
}

const NONE: ReadonlyMap<string, Known> = new Map()

const { bundles, failures } = runtimeStatus.shape
const ofReverts = z.object({ bundles, failures })

/** What the status of an AgentRuntime says that pods have gone back from, by bundle; nothing, where it cannot be read. */
function writtenReverts(status: unknown): ReadonlyMap<string, Known> {
  const { data } = ofReverts.safeParse(status)
  const found = (data?.bundles ?? []).flatMap(({ name, rejected, lastGood, error }): [string, Known][] => {
    if (rejected === undefined || error?.reason !== REASON) return []
    const told = (data?.failures ?? []).filter(({ reason }) => reason === REASON)
    // What a failure says begins with the bundle's name; the bundle's error is what a pod said.
    const ofPods = told.map(({ pod }): PodFailure => ({ pod, ...error, reason: REASON }))
    return [[name, { revision: rejected, back: lastGood, failures: ofPods, processes: [] }]]
  })
  return new Map(found)
}

const REASON = 'RevertedByProbation'

function revertOf({ name: pod, uid, connection: { state } }: Pod, bundle: string, hash: string) {
  const { active, candidate } = state?.bundles.get(bundle) ?? {}
  if (state === undefined || candidate?.outcome !== 'reverted' || candidate.hash !== hash) return undefined
  const { error = { reason: REASON, message: 'its calls failed' } } = candidate
  const failure: PodFailure = { pod, ...error }
  return { pod, active, failure, process: { uid, bootId: state.bootId } }
}

/** Whether a process is there no more, as far as its pod has told. */
const isOver =
  (pods: readonly Pod[]) =>
  ({ uid, bootId }: Process): boolean =>
    pods.every((pod) => pod.uid !== uid || pod.connection.state?.bootId !== bootId)

import type { BundleFiles, ProbationSpec, Problem } from '../../../api/index.ts'
import { CallLedger } from './call-ledger.ts'
import { type FileCalls, isFailing, worstOf } from './judge.ts'

/** A version of a bundle, and the calls that it answered. */
type Version = { readonly files: BundleFiles; readonly ledger: CallLedger }

type Trial = {
  readonly of: Version
  /** Milliseconds, on the clock of whoever tells the time. */
  readonly since: number
  /** Concluded once, however many calls fail after that. */
  readonly isFailed: boolean
}

/**
 * Of one bundle: the last version that came through its probation, or that there was before any, and the one that is on
 * probation. The first version of all is both: there is nothing before it.
 */
type Standing = { readonly good: Version; readonly trial?: Trial | undefined }

/** What holds now: undefined for no probation. */
export type Terms = { readonly spec: ProbationSpec | undefined; readonly now: number }

/** A version that does not come through its probation. */
export type Failing = {
  readonly name: string
  readonly hash: string
  /** The last good version; undefined where there was none before. */
  readonly back: BundleFiles | undefined
  /** What made most calls fail. */
  readonly error: Problem
}

/** Which version of each bundle is on probation, and whether it fails. Knows no time but what it is told. */
export class Probation {
  readonly #standings = new Map<string, Standing>()

  /**
   * Another version serves now, or none any more.
   * @param isHeld somebody wants just this version, whatever it does: it is not put on probation
   */
  serves(name: string, files: BundleFiles | undefined, terms: Terms & { readonly isHeld: boolean }): void {
    const before = this.#standings.get(name)
    if (files === undefined) this.#standings.delete(name)
    else this.#standings.set(name, next(before && settled(before, terms), files, terms))
  }

  /**
   * A call of a file ended.
   * @param hash of the version that answered it, which need not be the one that serves
   * @returns what is to be gone back from, once
   */
  called(name: string, hash: string, call: Terms & { readonly file: string; readonly problem?: Problem | undefined }) {
    const before = this.#standings.get(name)
    if (before === undefined) return undefined
    const standing = settled(before, call)
    if (standing !== before) this.#standings.set(name, standing)
    const { good, trial } = standing
    const version = [trial?.of, good].find((each) => each?.files.hash === hash)
    version?.ledger.record(call.file, call.problem)
    if (trial === undefined || trial.isFailed || version !== trial.of) return undefined
    const failing = call.spec && failingOf(standing, trial, call.spec)
    if (failing !== undefined) this.#standings.set(name, { good, trial: { ...trial, isFailed: true } })
    return failing
  }
}

/** A probation that is over has made its version the good one. */
function settled(standing: Standing, { spec, now }: Terms): Standing {
  const { trial } = standing
  if (trial === undefined || (spec !== undefined && now - trial.since < spec.seconds * 1000)) return standing
  return { good: trial.of }
}

function next(before: Standing | undefined, files: BundleFiles, { spec, now, isHeld }: Terms & { isHeld: boolean }) {
  const { good, trial } = before ?? {}
  if (trial?.of.files.hash === files.hash) return { good: good ?? trial.of, trial }
  if (good?.files.hash === files.hash) return { good }
  const of: Version = { files, ledger: new CallLedger() }
  if (spec === undefined || isHeld) return { good: of }
  return { good: good ?? of, trial: { of, since: now, isFailed: false } }
}

function failingOf({ good }: Standing, { of }: Trial, spec: ProbationSpec): Failing | undefined {
  const isFirst = of === good
  const files = [...of.ledger.counts].map(([file, { calls, errors }]) => ({
    file,
    calls,
    errors,
    usual: isFirst ? 0 : good.ledger.usual(file),
  }))
  if (!isFailing(files, spec)) return undefined
  const worst = worstOf(files)?.file ?? ''
  const cause = of.ledger.worst(worst)
  if (cause === undefined) return undefined
  return {
    name: of.files.name,
    hash: of.files.hash,
    back: isFirst ? undefined : good.files,
    error: { file: worst, ...cause, message: messageOf(files, cause) },
  }
}

function messageOf(files: readonly FileCalls[], { reason, message }: Problem): string {
  const total = (what: 'calls' | 'errors') => files.reduce((sum, each) => sum + each[what], 0)
  return `${total('errors')} of its first ${total('calls')} calls failed, most with ${reason}: ${message}`
}

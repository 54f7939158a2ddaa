import type { BundleFiles, Problem, ReloadRecord } from '../../api/index.ts'
import { type BundleChange, isReverted, type Settlement } from '../registry/observer.ts'

export type FileChange = ReloadRecord['files'][number]

/**
 * Parts of a reload. detect: from the first notice of a change in a directory until it was at rest; read: the reading of
 * the directory; transform, load and check: of code, as its host tells them (compiling, evaluating, self-tests), where
 * there is no code or it was refused all of it is load; activate: to resolve and swap.
 */
export type Stages = ReloadRecord['stages']

const MAX_LIST = 50
const MAX_TEXT = 2_000

/** A settlement of a bundle. */
export type BundleSettlement = Settlement & { readonly bundle: BundleChange }

/** Files that were created, modified or deleted, by their content, sorted by path. */
export function fileChanges(before: BundleFiles | undefined, after: BundleFiles | undefined): FileChange[] {
  const [old, now] = [before?.files ?? NONE, after?.files ?? NONE]
  const paths = [...new Set([...old.keys(), ...now.keys()])].sort()
  return paths.flatMap((path): FileChange[] => {
    const [was, is] = [old.get(path), now.get(path)]
    if (was === undefined) return [{ path, change: 'created' }]
    if (is === undefined) return [{ path, change: 'deleted' }]
    return was === is || Buffer.compare(was, is) === 0 ? [] : [{ path, change: 'modified' }]
  })
}

const NONE: ReadonlyMap<string, Uint8Array> = new Map()

/** The parts of a reload, where it is known what they took. */
export function stagesOf({ timing: { loadMs, swapMs }, noticed, bundle }: Settlement): Stages {
  const report = bundle?.loaded?.tools.report
  const hasCode = report !== undefined && report.reloaded.length + report.kept.length > 0
  return {
    ...(noticed && { detect: noticed.detectMs, read: noticed.readMs }),
    ...(hasCode ? report.stages : { load: loadMs }),
    activate: swapMs,
  }
}

/** Whether a bundle is gone, also one that never served. */
export const isRemoval = ({ bundle, result: { outcome, revision } }: BundleSettlement): boolean =>
  bundle.arrived === undefined && revision === undefined && (outcome === 'activated' || outcome === 'unchanged')

/** What became of it in one word; undefined for what reloads nothing. */
function resultOf(settlement: BundleSettlement): ReloadRecord['result'] | undefined {
  const { outcome } = settlement.result
  if (isRemoval(settlement)) return 'removed'
  switch (outcome) {
    case 'activated':
      return isReverted(settlement) ? 'reverted' : 'activated'
    case 'checked':
      return undefined
    case 'unchanged':
    case 'rejected':
    case 'pending':
      return outcome
  }
}

/**
 * The record of a settlement, but for its id and time.
 * @param changes what it is about, unbounded
 */
export function recordOf(
  settlement: BundleSettlement,
  changes: readonly FileChange[],
): Omit<ReloadRecord, 'id' | 'at'> | undefined {
  const { bundle, source, result, wentBack } = settlement
  const word = resultOf(settlement)
  const isKnown = result.outcome === 'unchanged' || result.error?.reason === 'Pinned'
  if (word === undefined || (isKnown && changes.length === 0)) return undefined
  const error = word === 'reverted' && wentBack?.cause === 'probation' ? wentBack.error : result.error
  const report = bundle.loaded?.tools.report
  const all = { files: changes, reloaded: report?.reloaded ?? [], kept: report?.kept ?? [] }
  const more = Object.entries(all).flatMap(([key, { length }]) => (length > MAX_LIST ? [[key, length - MAX_LIST]] : []))
  return {
    bundle: bundle.name,
    source,
    result: word,
    ...(result.revision !== undefined && { hash: result.revision }),
    files: all.files.slice(0, MAX_LIST),
    reloaded: all.reloaded.slice(0, MAX_LIST),
    kept: all.kept.slice(0, MAX_LIST),
    ...(more.length > 0 && { more: Object.fromEntries(more) }),
    stages: toMicroseconds(stagesOf(settlement)),
    ...(error && { error: bounded(error) }),
  }
}

/** No clock here tells more. */
const toMicroseconds = (stages: Stages): Stages =>
  Object.fromEntries(Object.entries(stages).map(([stage, ms]) => [stage, Math.round(ms * 1000) / 1000]))

const bounded = (problem: Problem): Problem =>
  problem.message.length <= MAX_TEXT ? problem : { ...problem, message: `${problem.message.slice(0, MAX_TEXT)}…` }

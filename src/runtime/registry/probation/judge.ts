import type { ProbationSpec } from '../../../api/index.ts'

/** Calls of one file of a version on probation. */
export type FileCalls = {
  readonly file: string
  readonly calls: number
  readonly errors: number
  /** Share of the calls of that file that failed with the version before, from 0 to 1; 0 where there were none. */
  readonly usual: number
}

/** Shares are no whole numbers, and their sums are off by less than this. */
const DUST = 1e-9

/**
 * Whether so many calls fail that a version is to be given up: of the bundle as a whole, or of one of its files, there are
 * at least `minCalls`, and more than `maxErrorPercent` of them failed beyond what would have failed before. What failed
 * just as much with the version before, as when a server is down that a tool calls, speaks against nothing.
 */
export function isFailing(
  files: readonly FileCalls[],
  { minCalls, maxErrorPercent }: Pick<ProbationSpec, 'minCalls' | 'maxErrorPercent'>,
): boolean {
  const each = files.map((calls) => ({ calls: calls.calls, excess: excessOf(calls) }))
  const whole = { calls: sum(each.map(({ calls }) => calls)), excess: sum(each.map(({ excess }) => excess)) }
  return [whole, ...each].some(
    ({ calls, excess }) => calls >= minCalls && excess * 100 > maxErrorPercent * calls + DUST,
  )
}

/** Calls that failed beyond what was usual. */
const excessOf = ({ calls, errors, usual }: FileCalls): number => errors - calls * usual

/** The file of which most calls failed beyond what was usual. */
export const worstOf = (files: readonly FileCalls[]): FileCalls | undefined =>
  files.toSorted((a, b) => excessOf(b) - excessOf(a))[0]

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)

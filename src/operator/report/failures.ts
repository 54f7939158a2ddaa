import { type Failure, MAX_FAILURES, type Problem, SETTINGS_ID } from '../../api/index.ts'
import type { PodFailure } from '../ports.ts'
import type { Standing } from './standing.ts'
import type { Tally } from './tally.ts'
import { clip } from './words.ts'

/** The part of a problem that says where a file is wrong. */
export const placeOf = ({ file, line, column }: Problem) => ({
  ...(file === undefined ? {} : { file: clip(file, 512) }),
  ...(line === undefined ? {} : { line }),
  ...(column === undefined ? {} : { column }),
})

const failureOf = (pod: string, problem: Problem, about: string): Failure => ({
  pod,
  reason: problem.reason,
  message: clip(`${about}${problem.message}`),
  ...placeOf(problem),
})

/** The pods that refused what is in the way, and those that do not answer: at most 10, in the order of their names. */
export function failuresOf(id: string, { blocked }: Tally): Failure[] {
  const refusals = new Map<string, Failure>()
  const silences = new Map<string, Failure>()
  for (const { pod, standing } of blocked) {
    if (standing.type === 'unreachable') silences.set(pod, failureOf(pod, standing.problem, ''))
    if (standing.type !== 'refused') continue
    const about = aboutUnit(standing.unit, id)
    for (const failure of refusalsOf(pod, standing)) {
      if (!refusals.has(failure.pod)) refusals.set(failure.pod, failureOf(failure.pod, failure, about))
    }
  }
  return [...byPod(refusals), ...byPod(silences)].slice(0, MAX_FAILURES)
}

const byPod = (failures: ReadonlyMap<string, Failure>): Failure[] =>
  [...failures.values()].sort((a, b) => (a.pod < b.pod ? -1 : a.pod > b.pod ? 1 : 0))

const refusalsOf = (pod: string, { verdict, problem }: Extract<Standing, { type: 'refused' }>): readonly PodFailure[] =>
  verdict?.failures ?? [{ ...problem, pod }]

function aboutUnit(unit: string, id: string): string {
  if (unit === id) return ''
  return unit === SETTINGS_ID ? 'settings: ' : `bundle "${unit.slice(unit.indexOf('/') + 1)}": `
}

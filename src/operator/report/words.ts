import { MAX_STATUS_MESSAGE, type Problem, SETTINGS_ID, SHORT_REVISION } from '../../api/index.ts'
import type { RuntimeView } from '../ports.ts'
import { bundleOfUnit } from '../unit-id.ts'
import type { Standing } from './standing.ts'
import type { Tally } from './tally.ts'

/** Cut to what a status may hold. */
export function clip(message: string, max = MAX_STATUS_MESSAGE): string {
  return (message.length <= max ? message : `${message.slice(0, max - 1)}…`).toWellFormed()
}

export const shortOf = (revision: string): string => revision.slice(0, SHORT_REVISION)

/** How many of the pods; `withoutCounts` takes it out again. */
const countOf = (some: number, all: number): string => `${some} of ${all} pods`

/** A message without its numbers of pods, which are no news by themselves. */
export const withoutCounts = (message: string): string => message.replaceAll(/\b\d+ of \d+ pods\b/g, 'pods')

/** `tools/weather.ts:3:9: what is wrong`, or with the field that it is about. */
export function describeProblem({ message, path, file, line, column }: Problem): string {
  if (file === undefined) return path === undefined || message.includes(path) ? message : `${path}: ${message}`
  const place = [file, line, line === undefined ? undefined : column].filter((part) => part !== undefined).join(':')
  if (message.startsWith(place)) return message
  if (message.startsWith(`${file}: `)) return `${place}${message.slice(file.length)}`
  return line === undefined && message.includes(file) ? message : `${place}: ${message}`
}

/** What a unit is called in a sentence that goes on with what is wrong with it. */
function nameOf(unit: string, { message }: Problem, view: RuntimeView): string {
  if (unit === SETTINGS_ID) return `the settings of AgentRuntime "${view.name.name}"`
  const name = unit.slice(unit.indexOf('/') + 1)
  const configMap = view.bundles.get(name)?.configMap
  const isToldOf = configMap === undefined || message.includes(`ConfigMap "${configMap}"`)
  return isToldOf ? `bundle "${name}"` : `bundle "${name}" (ConfigMap "${configMap}")`
}

/** The unit that a message is about, and what the message speaks of. */
export type Subject = {
  readonly id: string
  readonly view: RuntimeView
  readonly desired: string
  readonly tally: Tally
}

/** What a condition says of the standing that is in the way. */
export function describeStanding(standing: Standing, subject: Subject): string {
  const { desired, tally, view } = subject
  switch (standing.type) {
    case 'served':
      return `every pod serves revision ${shortOf(desired)}`
    case 'syncing':
      return `${countOf(tally.served, tally.counted)} serve revision ${shortOf(desired)}; the others are being brought up to date`
    case 'unreachable':
      return `${countOf(unreachableIn(tally), tally.counted + tally.silent)} have not acknowledged revision ${shortOf(desired)}: ${standing.problem.message}`
    case 'waiting': {
      const about = standing.unit === subject.id ? '' : `${nameOf(standing.unit, standing.problem, view)}: `
      const meanwhile = tally.serving > 0 ? 'the last good version serves until then' : 'nothing serves until then'
      return `waits: ${about}${describeProblem(standing.problem)}${bundleHint(standing, subject)}; ${meanwhile}`
    }
    case 'refused':
      return describeRefusal(standing, subject)
  }
}

/** What an item does not find may be in a bundle that is not there: the one that the problem names, else the first. */
function bundleHint({ unit, problem }: Extract<Standing, { type: 'waiting' }>, { id, view }: Subject): string {
  if (unit !== id || (problem.reason !== 'PromptNotFound' && problem.reason !== 'ToolNotFound')) return ''
  const lacking = [...view.bundles].flatMap(([name, bundle]) =>
    bundle.problem ? [{ name, cause: bundle.problem }] : [],
  )
  const isNamed = ({ name }: { name: string }) => new RegExp(`"${name}["/]`).test(problem.message)
  const found = lacking.find(isNamed) ?? lacking[0]
  return found === undefined ? '' : ` (${describeProblem(found.cause)})`
}

function describeRefusal(standing: Extract<Standing, { type: 'refused' }>, subject: Subject): string {
  const { tally, view } = subject
  const isOwn = standing.unit === subject.id
  const pods = refusingPods(standing, tally)
  const problem = describeProblem(standing.problem)
  const outlook = tally.serving > 0 ? 'the last good version goes on serving' : 'nothing serves until it is mended'
  const isFoundHere =
    standing.unit !== subject.id && view.bundles.get(bundleOfUnit(standing.unit) ?? '')?.problem !== undefined
  if (isFoundHere) return `${nameOf(standing.unit, standing.problem, view)} cannot be used: ${problem}; ${outlook}`
  const who = isOwn
    ? `revision ${shortOf(subject.desired)} was`
    : `${nameOf(standing.unit, standing.problem, view)} ${standing.unit === SETTINGS_ID ? 'were' : 'was'}`
  return `${who} refused by ${countOf(pods, Math.max(pods, tally.counted))}: ${problem}; ${outlook}`
}

const unreachableIn = ({ blocked }: Tally): number =>
  blocked.filter(({ standing }) => standing.type === 'unreachable').length

/** Pods that themselves refused the unit: a verdict speaks for all pods, but few may have found it. */
function refusingPods({ unit, verdict }: Extract<Standing, { type: 'refused' }>, { blocked }: Tally): number {
  if (verdict !== undefined) return new Set(verdict.failures.map(({ pod }) => pod)).size
  return blocked.filter(({ standing }) => standing.type === 'refused' && standing.unit === unit).length
}

/** Several problems of one object in one sentence. */
export const describeProblems = (problems: readonly Problem[]): string => problems.map(describeProblem).join('; ')

/** A few names, and how many more there are. */
export function listNames(names: readonly string[], most = 3): string {
  const shown = [...names].sort().slice(0, most)
  return names.length <= most ? shown.join(', ') : `${shown.join(', ')} and ${names.length - most} more`
}

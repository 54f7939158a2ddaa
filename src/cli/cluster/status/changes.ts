import { nameOf } from '../objects.ts'
import {
  type BundleReport,
  type IncidentReport,
  type ItemReport,
  type Report,
  type RuntimeReport,
  short,
} from './report.ts'
import type { Standing } from './standing.ts'

/** One thing that happened between two looks. */
export type Change = {
  /** What it happened to, as `agent/support` or `bundle/default/support`. */
  readonly subject: string
  readonly namespace: string
  /**
   * `declared`, `changed`: somebody wrote it; time runs from here. `served`: all pods serve it as it is now. `refused`,
   * `waiting`: they do not, and why. `pod`: a pod of an AgentRuntime came, went or became another. `incident`: code of
   * a bundle went wrong, in a pod of it. `gone`: deleted.
   */
  readonly type: 'declared' | 'changed' | 'served' | 'refused' | 'waiting' | 'pod' | 'incident' | 'gone'
  readonly text: string
}

/** What happened, oldest cause first: what was written, then what became of it. */
export function changesBetween(before: Report, after: Report): readonly Change[] {
  const runtimes = pairs(before.runtimes, after.runtimes)
  const items = pairs(before.items, after.items)
  return [
    ...runtimes.flatMap(([old, now]) => runtimeChanges(old, now)),
    ...items.flatMap(([old, now]) => objectChanges(old, now, now?.pods)),
  ]
}

type Pair<T> = readonly [T | undefined, T | undefined]

function pairs<T extends { readonly key: string }>(before: readonly T[], after: readonly T[]): readonly Pair<T>[] {
  const old = new Map(before.map((each) => [each.key, each]))
  const kept = new Set(after.map(({ key }) => key))
  return [
    ...after.map((now): Pair<T> => [old.get(now.key), now]),
    ...before.filter(({ key }) => !kept.has(key)).map((each): Pair<T> => [each, undefined]),
  ]
}

function runtimeChanges(before: RuntimeReport | undefined, after: RuntimeReport | undefined): readonly Change[] {
  const own = objectChanges(before, after, after?.podSummary)
  if (after === undefined) return own
  const bundles = after.bundles.flatMap((now) => {
    const old = before?.bundles.find(({ name }) => name === now.name)
    return bundleChanges(old, now).map(
      ({ type, text }): Change => ({
        type,
        text,
        subject: `bundle/${after.name}/${now.name}`,
        namespace: after.namespace,
      }),
    )
  })
  return [
    ...own.filter(({ type }) => type === 'declared' || type === 'changed'),
    ...bundles,
    ...rest(own),
    ...podChanges(before, after),
    ...incidentsSince(before, after),
  ]
}

const rest = (changes: readonly Change[]): readonly Change[] =>
  changes.filter(({ type }) => type !== 'declared' && type !== 'changed')

type Told = Pick<Change, 'type' | 'text'>

function objectChanges(
  before: ItemReport | RuntimeReport | undefined,
  after: ItemReport | RuntimeReport | undefined,
  pods: string | undefined,
): readonly Change[] {
  const there = after ?? before
  if (there === undefined) return []
  const about = { subject: nameOf(there.kind, there.name), namespace: there.namespace }
  if (after === undefined) return [{ ...about, type: 'gone', text: 'deleted' }]
  const written = writtenOf(before, after)
  const became = becameOf(before, after, pods)
  return [...(written ? [{ ...about, ...written }] : []), ...(became ? [{ ...about, ...became }] : [])]
}

function writtenOf(
  before: ItemReport | RuntimeReport | undefined,
  after: ItemReport | RuntimeReport,
): Told | undefined {
  if (before === undefined) return { type: 'declared', text: `generation ${after.generation}` }
  if (before.generation === after.generation) return undefined
  return { type: 'changed', text: `generation ${before.generation} → ${after.generation}` }
}

function becameOf(
  before: ItemReport | RuntimeReport | undefined,
  after: ItemReport | RuntimeReport,
  pods: string | undefined,
): Told | undefined {
  const { told: standing, desired, lastGood } = after
  if (before !== undefined && isSame(before.told, standing) && before.desired === desired) return undefined
  const why = [standing.reason, standing.message].filter((part) => part !== undefined).join(': ')
  const good = lastGood === undefined ? '' : ` (last good ${short(lastGood)})`
  switch (standing.state) {
    case 'Ready':
      return {
        type: 'served',
        text: `revision ${stepOf(before?.lastGood, desired)}${pods === undefined ? '' : `, pods ${pods}`}`,
      }
    case 'Stalled':
      return { type: 'refused', text: `revision ${short(desired)}${good}: ${why}` }
    case 'Waiting':
    case 'NotReady':
    case 'Deleting':
      return { type: 'waiting', text: why }
    case 'Pending':
      // What was written tells it already.
      return undefined
  }
}

const isSame = (a: Standing, b: Standing): boolean => a.state === b.state && a.message === b.message

const stepOf = (before: string | undefined, after: string | undefined): string =>
  before === undefined || before === after ? short(after) : `${short(before)} → ${short(after)}`

function bundleChanges(before: BundleReport | undefined, now: BundleReport): readonly Told[] {
  const isWritten = before !== undefined && before.contents !== now.contents
  const from = before?.contents ?? before?.hash
  const written: readonly Told[] = isWritten
    ? [{ type: 'changed', text: `ConfigMap ${now.configMap} ${stepOf(from, now.contents ?? undefined) || 'deleted'}` }]
    : []
  const isSameState = before !== undefined && before.state === now.state && before.hash === now.hash
  return isSameState ? written : [...written, ...stateOf(before, now)]
}

function stateOf(before: BundleReport | undefined, now: BundleReport): readonly Told[] {
  const good = now.lastGood === undefined ? 'nothing serves' : `last good ${short(now.lastGood)} serves`
  switch (now.state) {
    case 'Live':
      return [{ type: 'served', text: `hash ${stepOf(before?.lastGood, now.hash)}` }]
    case 'Rejected':
      return [{ type: 'refused', text: `hash ${short(now.hash)}, ${good}: ${errorText(now)}` }]
    case 'Waiting':
      return [{ type: 'waiting', text: `hash ${short(now.hash)}, ${good}: ${errorText(now)}` }]
    case 'Missing':
      return [{ type: 'waiting', text: `there is no ConfigMap ${now.configMap}; ${good}` }]
    case 'Updating':
    case 'Unseen':
      return []
  }
}

/** `InvalidSyntax: tools/weather.ts:3:9: what is wrong` */
export function errorText({ error }: Pick<BundleReport, 'error'>): string {
  if (error === undefined) return ''
  const { reason, message, file, line, column } = error
  const place = [file, line, line === undefined ? undefined : column].filter((part) => part !== undefined).join(':')
  if (place === '' || message.startsWith(place)) return `${reason}: ${message}`
  // A message that begins with the file alone says it again with its line.
  return `${reason}: ${place}: ${message.startsWith(`${file}: `) ? message.slice(`${file}: `.length) : message}`
}

/** Those that are new, and those that were told again; the oldest first. */
function incidentsSince(before: RuntimeReport | undefined, after: RuntimeReport): readonly Change[] {
  const about = { subject: nameOf(after.kind, after.name), namespace: after.namespace, type: 'incident' } as const
  const known = new Map(before?.incidents.map(({ id, count }) => [id, count]))
  return after.incidents
    .filter(({ id, count }) => known.get(id) !== count)
    .map((incident): Change => ({ ...about, text: incidentText(incident) }))
    .reverse()
}

/** `12 times: ExtensionFailed: pod …` */
const incidentText = ({ reason, message, count }: IncidentReport): string =>
  `${count === 1 ? '' : `${count} times: `}${reason}: ${message}`

function podChanges(before: RuntimeReport | undefined, after: RuntimeReport): readonly Change[] {
  const about = { namespace: after.namespace, type: 'pod' } as const
  const name = (pod: string) => `pod/${pod}`
  const there = after.pods.flatMap((pod): Change[] => {
    const old = before?.pods.find((each) => each.name === pod.name)
    const text = podText(pod)
    return old !== undefined && podText(old) === text ? [] : [{ ...about, subject: name(pod.name), text }]
  })
  const gone = (before?.pods ?? [])
    .filter((pod) => !after.pods.some((each) => each.name === pod.name))
    .map((pod): Change => ({ ...about, subject: name(pod.name), text: 'gone' }))
  return [...there, ...gone]
}

/** A pod in a few words. */
export function podText({ ready, complete, link, reason, message }: RuntimeReport['pods'][number]): string {
  const words = [ready ? 'Ready' : 'not Ready', complete ? 'complete' : 'not complete', link.toLowerCase()]
  const why = [reason, message].filter((part) => part !== undefined).join(': ')
  return `${words.join(', ')}${why === '' ? '' : `: ${why}`}`
}

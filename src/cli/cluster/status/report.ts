import {
  type BundleStatus,
  type Failure,
  type ItemStatus,
  type Kind,
  type PodStatus,
  type RuntimeStatus,
  SHORT_REVISION,
} from '../../../api/index.ts'
import { type KubeObject, keyOf, keyOfName, type ObjectKey } from '../../../kube/index.ts'
// Not by way of the index: reading a status does not need what an operator is.
import { parseItemStatus, parseRuntimeStatus } from '../../../operator/report/parse.ts'
import { INCIDENT_ACTION } from '../../../operator/unit/events.ts'
import { timeOf, timesOf } from '../events.ts'
import { byKey, isWanted, KIND_NAMES, listAt, textAt, type Wanted } from '../objects.ts'
import { type Standing, standingOf } from './standing.ts'

/** What is known of a ConfigMap that a bundle names. */
export type Contents =
  | { readonly type: 'unknown' }
  | { readonly type: 'missing' }
  /** Hash of its files as they are now. */
  | { readonly type: 'found'; readonly hash: string }

/** The objects of one or all namespaces at one moment. */
export type Seen = {
  readonly objects: Readonly<Record<Kind, readonly KubeObject[]>>
  readonly contents: (configMap: ObjectKey) => Contents
  /** About AgentRuntimes, as far as they may be read. */
  readonly events?: readonly KubeObject[]
}

type Named = { readonly kind: Kind; readonly namespace: string; readonly name: string; readonly key: string }

/** How one Agent, Team or Workflow stands. */
export type ItemReport = Named & {
  readonly runtime: string
  readonly generation: number
  readonly desired: string | undefined
  readonly lastGood: string | undefined
  /** Pods that serve the desired revision, of all pods. */
  readonly pods: string | undefined
  /** As the status tells. */
  readonly told: Standing
  /** As it is: files that the operator has not told of yet count too. */
  readonly standing: Standing
  readonly failures: readonly Failure[]
}

/**
 * `Live`: all pods serve these files. `Unseen`: the ConfigMap holds other files than the operator has told of.
 * `Waiting`: they are good, and something holds them back. `Rejected`: only other files can help.
 */
export type BundleState = 'Live' | 'Updating' | 'Unseen' | 'Waiting' | 'Rejected' | 'Missing'

export type BundleReport = {
  readonly name: string
  readonly configMap: string
  readonly state: BundleState
  readonly hash: string | undefined
  readonly lastGood: string | undefined
  /** Hash of the ConfigMap's files now, where it could be read. */
  readonly contents: string | undefined
  readonly error: BundleStatus['error']
}

/** What went wrong in code of a bundle, in one pod and one file: an Event, which the API server keeps for an hour. */
export type IncidentReport = {
  readonly reason: string
  readonly message: string
  readonly count: number
  /** When it was told last, in milliseconds since 1970. */
  readonly at: number
  /** Of the Event. */
  readonly id: string
}

/** How an AgentRuntime, its pods and its files stand. */
export type RuntimeReport = Named & {
  readonly generation: number
  readonly desired: string | undefined
  readonly lastGood: string | undefined
  readonly podSummary: string | undefined
  readonly told: Standing
  readonly standing: Standing
  readonly pods: readonly PodStatus[]
  readonly bundles: readonly BundleReport[]
  /** The latest first. */
  readonly incidents: readonly IncidentReport[]
  readonly failures: readonly Failure[]
}

export type Report = { readonly runtimes: readonly RuntimeReport[]; readonly items: readonly ItemReport[] }

/** First characters of a hash, which stand for it where people read it. */
export const short = (hash: string | undefined): string => hash?.slice(0, SHORT_REVISION) ?? ''

/** What the objects say, of those that are wanted; sorted by namespace, kind and name. */
export function reportOn({ objects, contents, events = [] }: Seen, wanted: readonly Wanted[]): Report {
  const runtimes = [...objects.AgentRuntime]
    .sort(byKey)
    .map((object) => reportOnRuntime(object, contents, incidentsOf(object, events)))
  const byRuntime = new Map(runtimes.map((runtime) => [keyOfName(runtime), runtime]))
  const items = KIND_NAMES.filter((kind) => kind !== 'AgentRuntime').flatMap((kind) =>
    [...objects[kind]].sort(byKey).map((object) => reportOnItem(kind, object, byRuntime)),
  )
  const among = ({ kind, name }: Named) => isWanted(wanted, kind, name)
  return { runtimes: runtimes.filter(among), items: items.filter(among) }
}

const named = (kind: Kind, object: KubeObject): Named => {
  const { name, namespace = '' } = object.metadata
  return { kind, namespace, name, key: `${kind} ${keyOf(object)}` }
}

/** Objects are parsed once: a report is made after every change of any of them. */
const itemStatuses = new WeakMap<KubeObject, { readonly status: ItemStatus | undefined }>()

function itemStatusOf(object: KubeObject): ItemStatus | undefined {
  const known = itemStatuses.get(object) ?? { status: parseItemStatus(object.status) }
  itemStatuses.set(object, known)
  return known.status
}

function reportOnItem(kind: Kind, object: KubeObject, runtimes: ReadonlyMap<string, RuntimeReport>): ItemReport {
  const status = itemStatusOf(object)
  const self = named(kind, object)
  const runtime = textAt(object, 'spec', 'runtime') ?? 'default'
  const told = standingOf(object, status)
  const { bundles = [] } = runtimes.get(keyOfName({ ...self, name: runtime })) ?? {}
  return {
    ...self,
    runtime,
    generation: object.metadata.generation ?? 1,
    desired: status?.revision?.desired,
    lastGood: status?.revision?.lastGood,
    pods: status?.pods?.summary,
    told,
    standing: behindFiles(told, bundles),
    failures: status?.failures ?? [],
  }
}

function incidentsOf(runtime: KubeObject, events: readonly KubeObject[]): readonly IncidentReport[] {
  const { name, namespace } = runtime.metadata
  return events
    .filter((event) => {
      const isAbout = textAt(event, 'regarding', 'kind') === 'AgentRuntime' && event.metadata.namespace === namespace
      return isAbout && textAt(event, 'regarding', 'name') === name && event.action === INCIDENT_ACTION
    })
    .map((event) => ({
      reason: textAt(event, 'reason') ?? '',
      message: textAt(event, 'note') ?? '',
      count: timesOf(event),
      at: timeOf(event),
      id: event.metadata.name,
    }))
    .sort((a, b) => b.at - a.at)
}

function reportOnRuntime(
  object: KubeObject,
  contents: Seen['contents'],
  incidents: readonly IncidentReport[],
): RuntimeReport {
  const status: RuntimeStatus | undefined = parseRuntimeStatus(object.status)
  const self = named('AgentRuntime', object)
  const standing = standingOf(object, status)
  const bundles = bundlesOf(object, status).map((bundle) =>
    reportOnBundle(bundle, contents(keyOfName({ ...self, name: bundle.configMap }))),
  )
  return {
    ...self,
    generation: object.metadata.generation ?? 1,
    desired: status?.revision?.desired,
    lastGood: status?.revision?.lastGood,
    podSummary: status?.podSummary,
    told: standing,
    standing: behindFiles(standing, bundles),
    pods: [...(status?.pods ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1)),
    bundles,
    incidents,
    failures: status?.failures ?? [],
  }
}

/** Ready speaks of the files that the operator knew: newer ones have still to be served. */
function behindFiles(standing: Standing, bundles: readonly BundleReport[]): Standing {
  const behind = bundles.find(({ state }) => state === 'Unseen' || state === 'Updating')
  if (standing.state !== 'Ready' || behind === undefined) return standing
  const message = `ConfigMap ${behind.configMap} has changed; bundle ${behind.name} is not served as it is now yet`
  return { state: 'Pending', reason: undefined, message }
}

/** A bundle of an AgentRuntime: of `spec.bundles`, or one that its status tells, as of `bundleSelector`. */
export type NamedBundle = {
  readonly name: string
  readonly configMap: string
  readonly told: BundleStatus | undefined
}

export function bundlesOf(object: KubeObject, status = parseRuntimeStatus(object.status)): readonly NamedBundle[] {
  const told = status?.bundles ?? []
  const declared = listAt(object, 'spec', 'bundles').flatMap((entry) => {
    const [name, configMap] = [textAt(entry, 'name'), textAt(entry, 'configMap')]
    const isUnnamed = name === undefined || configMap === undefined
    return isUnnamed ? [] : [{ name, configMap, told: told.find((each) => each.name === name) }]
  })
  const selected = told
    .filter(({ name }) => !declared.some((each) => each.name === name))
    .map((each) => ({ name: each.name, configMap: each.configMap, told: each }))
  return [...declared, ...selected]
}

function reportOnBundle({ name, configMap, told }: NamedBundle, contents: Contents): BundleReport {
  return {
    name,
    configMap,
    state: bundleState(told, contents),
    hash: told?.hash,
    lastGood: told?.lastGood,
    contents: contents.type === 'found' ? contents.hash : undefined,
    error: told?.error,
  }
}

function bundleState(told: BundleStatus | undefined, contents: Contents): BundleState {
  if (contents.type === 'missing') return 'Missing'
  // A bundle that cannot be used at all has no hash to compare.
  const isNews = contents.type === 'found' && told?.hash !== contents.hash && !(told?.error && told.hash === undefined)
  if (told === undefined || isNews) return 'Unseen'
  if (told.error !== undefined) return told.rejected === undefined && told.hash !== undefined ? 'Waiting' : 'Rejected'
  return told.hash !== undefined && told.hash === told.lastGood ? 'Live' : 'Updating'
}

/** Whether everything is served as it is declared now. */
export const isAllReady = ({ runtimes, items }: Report): boolean =>
  [...runtimes, ...items].every(({ standing }) => standing.state === 'Ready')

/** What is asked for by name and is not there. */
export function missingOf({ runtimes, items }: Report, wanted: readonly Wanted[]): readonly Wanted[] {
  const there = [...runtimes, ...items]
  return wanted.filter(
    ({ kind, name }) => name !== undefined && !there.some((each) => each.kind === kind && each.name === name),
  )
}

/** A report for programs: what people are shown, without what only compares reports. */
export const documentOf = ({ runtimes, items }: Report): object => ({
  runtimes: runtimes.map(({ key, told, ...runtime }) => runtime),
  items: items.map(({ key, told, ...item }) => item),
})

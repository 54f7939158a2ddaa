import {
  EXTENSION_POINTS,
  type ExtensionPoint,
  extensionPointOf,
  type Kind,
  type Role,
  roleOf,
} from '../../../api/index.ts'
import { type KubeObject, keyOf, keyOfName } from '../../../kube/index.ts'
import { at, byKey, listAt, nameOf, textAt } from '../objects.ts'
import { podPhase, restartsOf, runtimeContainer } from '../pods.ts'
import { type BundleReport, bundlesOf, type ItemReport, type RuntimeReport, reportOn, short } from '../status/report.ts'
import { TONES } from '../status/standing.ts'
import type { Cell } from '../table.ts'
import { ageText } from '../text.ts'
import type { Sources } from './sources.ts'

/** One line: its cells, its `kind/name`, and the whole of it for programs. */
export type Row = {
  readonly namespace: string
  readonly name: string
  readonly cells: readonly Cell[]
  readonly document: object
}

/** `wide`: columns from that one on are shown with `-o wide` only. */
export type View = { readonly head: readonly string[]; readonly wide: number; readonly rows: readonly Row[] }

type Looked = { readonly sources: Sources; readonly report: ReturnType<typeof reportOn>; readonly now: number }

/** What can be asked for besides the four kinds. */
export const DERIVED = ['pods', 'bundles', 'models', 'tools', 'extensions'] as const
export type Derived = (typeof DERIVED)[number]

/** @param now milliseconds since 1970 */
export function viewOf(what: Kind | Derived, sources: Sources, now: number): View {
  const report = reportOn({ objects: sources.objects, contents: () => ({ type: 'unknown' }) }, [])
  const looked = { sources, report, now }
  switch (what) {
    case 'AgentRuntime':
      return runtimeView(looked)
    case 'Agent':
    case 'Team':
    case 'Workflow':
      return itemView(what, looked)
    case 'pods':
      return podView(looked)
    case 'bundles':
      return bundleView(looked)
    case 'models':
      return modelView(looked)
    case 'tools':
      return toolView(looked)
    case 'extensions':
      return extensionView(looked)
  }
}

const ageOf = ({ metadata }: KubeObject, now: number): string =>
  metadata.creationTimestamp === undefined ? '' : ageText(now - Date.parse(metadata.creationTimestamp))

const stateCells = ({ standing }: ItemReport | RuntimeReport): readonly Cell[] => [
  { text: standing.state, tone: TONES[standing.state] },
]
const whyOf = ({ standing }: ItemReport | RuntimeReport): string =>
  [standing.reason, standing.message].filter((part) => part !== undefined).join(': ')

function runtimeView({ sources, report, now }: Looked): View {
  const rows = report.runtimes.flatMap((runtime): Row[] => {
    const object = sources.objects.AgentRuntime.find((each) => keyOf(each) === keyOfName(runtime))
    if (object === undefined) return []
    const counts = [listAt(object, 'spec', 'models').length, runtime.bundles.length].map(String)
    return [
      {
        namespace: runtime.namespace,
        name: nameOf(runtime.kind, runtime.name),
        document: object,
        cells: [
          runtime.name,
          runtime.podSummary ?? '',
          short(runtime.desired),
          ...counts,
          ...stateCells(runtime),
          ageOf(object, now),
          whyOf(runtime),
        ],
      },
    ]
  })
  return { head: ['NAME', 'PODS', 'SETTINGS', 'MODELS', 'BUNDLES', 'STATE', 'AGE', 'MESSAGE'], wide: 7, rows }
}

/** What tells agents, teams and workflows apart at a glance. */
const detailOf = (kind: Exclude<Kind, 'AgentRuntime'>, { spec }: KubeObject): string => {
  switch (kind) {
    case 'Agent':
      return textAt(spec, 'model') ?? 'default'
    case 'Team':
      return textAt(spec, 'mode') ?? 'coordinate'
    case 'Workflow':
      return String(listAt(spec, 'steps').length)
  }
}
const DETAILS = { Agent: 'MODEL', Team: 'MODE', Workflow: 'STEPS' } as const

function itemView(kind: Exclude<Kind, 'AgentRuntime'>, { sources, report, now }: Looked): View {
  const rows = [...sources.objects[kind]].sort(byKey).flatMap((object): Row[] => {
    const item = report.items.find((each) => each.kind === kind && keyOfName(each) === keyOf(object))
    if (item === undefined) return []
    const { name, namespace, runtime, desired, lastGood, pods = '' } = item
    const served = [short(desired), short(lastGood), pods]
    const cells = [
      name,
      runtime,
      detailOf(kind, object),
      ...served,
      ...stateCells(item),
      ageOf(object, now),
      whyOf(item),
    ]
    return [{ namespace, name: nameOf(kind, name), document: object, cells }]
  })
  const head = ['NAME', 'RUNTIME', DETAILS[kind], 'REVISION', 'LAST GOOD', 'PODS', 'STATE', 'AGE', 'MESSAGE']
  return { head, wide: 8, rows }
}

function podView({ sources, report, now }: Looked): View {
  const rows = report.runtimes.flatMap((runtime) => {
    const pods = [...(sources.pods.get(keyOfName(runtime)) ?? [])].sort(byKey)
    return pods.map((pod): Row => {
      const told = runtime.pods.find(({ name }) => name === pod.metadata.name)
      const behind = report.items
        .filter(
          ({ namespace, failures }) =>
            namespace === runtime.namespace && failures.some((each) => each.pod === pod.metadata.name),
        )
        .map(({ kind, name }) => nameOf(kind, name))
      const image = textAt(runtimeContainer(pod), 'image') ?? ''
      const document = {
        name: pod.metadata.name,
        namespace: runtime.namespace,
        runtime: runtime.name,
        phase: podPhase(pod),
        restarts: restartsOf(pod),
        image,
        ...(told === undefined ? {} : { ready: told.ready, complete: told.complete, link: told.link }),
        ...(told?.reason === undefined ? {} : { reason: told.reason, message: told.message }),
        behind,
      }
      const known = told === undefined ? ['', '', ''] : [yesNo(told.ready), yesNo(told.complete), told.link]
      const counts = [podPhase(pod), String(restartsOf(pod)), behind.length === 0 ? '' : behind.join(',')]
      const cells = [pod.metadata.name, runtime.name, ...known, ...counts, ageOf(pod, now), image]
      return { namespace: runtime.namespace, name: `pod/${pod.metadata.name}`, document, cells }
    })
  })
  const head = ['NAME', 'RUNTIME', 'READY', 'COMPLETE', 'LINK', 'PHASE', 'RESTARTS', 'BEHIND', 'AGE', 'IMAGE']
  return { head, wide: 9, rows }
}

const yesNo = (value: boolean): string => (value ? 'yes' : 'no')

function bundleView({ sources, report }: Looked): View {
  const rows = report.runtimes.flatMap((runtime) =>
    runtime.bundles.map((bundle): Row => {
      const files = sources.files.get(keyOfName({ namespace: runtime.namespace, name: bundle.configMap }))
      const count = (role: string) =>
        files === undefined ? '' : String(files.filter((file) => roleOf(file).role === role).length)
      const hashes = [short(bundle.hash), short(bundle.lastGood)]
      return {
        namespace: runtime.namespace,
        name: `bundle/${bundle.name}`,
        document: { runtime: runtime.name, namespace: runtime.namespace, ...bundle, files: files ?? [] },
        cells: [
          bundle.name,
          runtime.name,
          bundle.configMap,
          ...hashes,
          stateOf(bundle),
          count('tool'),
          count('prompt'),
        ],
      }
    }),
  )
  return { head: ['NAME', 'RUNTIME', 'CONFIGMAP', 'HASH', 'LAST GOOD', 'STATE', 'TOOLS', 'PROMPTS'], wide: 8, rows }
}

const stateOf = ({ state }: BundleReport): Cell => ({ text: state, tone: state === 'Live' ? 'good' : 'bad' })

function modelView({ sources }: Looked): View {
  const users = [...sources.objects.Agent, ...sources.objects.Team]
  const rows = [...sources.objects.AgentRuntime].sort(byKey).flatMap((runtime) => {
    const { namespace = '', name: runtimeName } = runtime.metadata
    return listAt(runtime, 'spec', 'models').map((model): Row => {
      const name = textAt(model, 'name') ?? ''
      const secret = ['name', 'key'].map((part) => textAt(model, 'apiKey', 'secretKeyRef', part)).filter(Boolean)
      const usedBy = users.filter(
        (user) => isServedBy(user, runtime) && (textAt(user, 'spec', 'model') ?? 'default') === name,
      )
      const told = [textAt(model, 'provider') ?? '', textAt(model, 'model') ?? '', secret.join('/')]
      return {
        namespace,
        name: `model/${name}`,
        document: { runtime: runtimeName, namespace, ...Object(model) },
        cells: [name, runtimeName, ...told, usedBy.map(nameOfObject).sort().join(','), textAt(model, 'baseURL') ?? ''],
      }
    })
  })
  return { head: ['NAME', 'RUNTIME', 'PROVIDER', 'MODEL', 'KEY SECRET', 'USED BY', 'BASE URL'], wide: 6, rows }
}

const isServedBy = (object: KubeObject, runtime: KubeObject): boolean =>
  object.metadata.namespace === runtime.metadata.namespace &&
  (textAt(object, 'spec', 'runtime') ?? 'default') === runtime.metadata.name

const nameOfObject = ({ kind, metadata }: KubeObject): string => nameOf(kind, metadata.name)

/** A file of a bundle of an AgentRuntime: what is declared, whether or not it loads. */
type Declared = {
  readonly runtime: KubeObject
  /** What programs are told of any file. */
  readonly about: Readonly<Record<'name' | 'runtime' | 'namespace' | 'bundle' | 'configMap' | 'file', string>>
  /** Of the bundle. */
  readonly state: Cell
}

/** Of each AgentRuntime, in the order of its bundles. */
function declaredFiles({ sources, report }: Looked, wanted: Role): readonly (readonly Declared[])[] {
  return [...sources.objects.AgentRuntime].sort(byKey).map((runtime) =>
    bundlesOf(runtime).flatMap(({ name: bundle, configMap }) => {
      const { namespace = '', name: runtimeName } = runtime.metadata
      const files = sources.files.get(keyOfName({ namespace, name: configMap })) ?? []
      const told = report.runtimes.find((each) => keyOfName(each) === keyOf(runtime))?.bundles
      const state = told?.find((each) => each.name === bundle)
      return files.flatMap((file): Declared[] => {
        const { role, name } = roleOf(file)
        const about = { name, runtime: runtimeName, namespace, bundle, configMap, file }
        return role === wanted ? [{ runtime, about, state: state === undefined ? '' : stateOf(state) }] : []
      })
    }),
  )
}

function toolView(looked: Looked): View {
  const rows = declaredFiles(looked, 'tool')
    .flat()
    .map(({ runtime, about, state }): Row => {
      const { name, namespace, bundle, file } = about
      const usedBy = looked.sources.objects.Agent.filter(
        (agent) => isServedBy(agent, runtime) && uses(agent, bundle, name),
      )
      const names = usedBy.map(({ metadata }) => metadata.name).sort()
      return {
        namespace,
        name: `tool/${name}`,
        document: { ...about, usedBy: names },
        cells: [name, about.runtime, bundle, file, state, names.join(',')],
      }
    })
  return { head: ['NAME', 'RUNTIME', 'BUNDLE', 'FILE', 'STATE', 'AGENTS'], wide: 6, rows }
}

/** In the order in which each AgentRuntime runs them. */
function extensionView(looked: Looked): View {
  const rows = declaredFiles(looked, 'extension').flatMap((files) =>
    files
      .map((declared) => ({ ...declared, point: extensionPointOf(declared.about.file) }))
      .sort((a, b) => rankOf(a.point) - rankOf(b.point) || compareNames(a.about.name, b.about.name))
      .map(({ about, point, state }): Row => {
        const { name, namespace, runtime, bundle, file } = about
        return {
          namespace,
          name: `extension/${name}`,
          document: { ...about, ...(point && { point }) },
          cells: [name, runtime, point ?? '', bundle, file, state],
        }
      }),
  )
  return { head: ['NAME', 'RUNTIME', 'POINT', 'BUNDLE', 'FILE', 'STATE'], wide: 6, rows }
}

/** Those of no point, which no runtime takes, stand first. */
const rankOf = (point: ExtensionPoint | undefined): number =>
  point === undefined ? -1 : EXTENSION_POINTS.indexOf(point)
const compareNames = (a: string, b: string): number => (a < b ? -1 : Number(a > b))

/** Whether an agent's `tools` name it: `weather`, `calendar_*`, `bundle/weather`. */
function uses(agent: KubeObject, bundle: string, tool: string): boolean {
  return listAt(agent, 'spec', 'tools').some((entry) => {
    const parts = String(entry).split('/')
    const [pattern = '', prefix] = [...parts].reverse()
    const isMatch = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(tool)
    return isMatch && (prefix === undefined || prefix === bundle)
  })
}

/** The name of a derived thing that a word stands for: `pod`, `pods`. */
export const derivedOf = (word: string): Derived | undefined =>
  DERIVED.find((each) => each === word.toLowerCase() || each === `${word.toLowerCase()}s`)

/** Whether a document is what the API server has, and not only told by it. */
export const isObject = (document: object): boolean => at(document, 'apiVersion') !== undefined

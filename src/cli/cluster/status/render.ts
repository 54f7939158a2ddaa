import { type Cell, type Sheet, type Table, tableLines, toned } from '../table.ts'
import { clockText } from '../text.ts'
import { errorText } from './changes.ts'
import {
  type BundleReport,
  type BundleState,
  type IncidentReport,
  type ItemReport,
  type Report,
  type RuntimeReport,
  short,
} from './report.ts'
import { type Standing, TONES } from './standing.ts'

const BUNDLE_TONES: Readonly<Record<BundleState, 'good' | 'busy' | 'bad'>> = {
  Live: 'good',
  Updating: 'busy',
  Unseen: 'busy',
  Waiting: 'busy',
  Rejected: 'bad',
  Missing: 'bad',
}

/** A report for people: each AgentRuntime with its pods and files, then what they serve. */
export function reportLines({ runtimes, items }: Report, sheet: Sheet): string[] {
  const namespaces = new Set([...runtimes, ...items].map(({ namespace }) => namespace))
  const isOne = namespaces.size <= 1
  const blocks = [...runtimes.map((runtime) => runtimeLines(runtime, isOne, sheet))]
  if (items.length > 0) blocks.push(tableLines(itemTable(items, isOne), sheet))
  return blocks.flatMap((lines, index) => (index === 0 ? lines : ['', ...lines]))
}

function runtimeLines(runtime: RuntimeReport, isOne: boolean, sheet: Sheet): string[] {
  const { name, namespace, podSummary, standing, pods, bundles, incidents } = runtime
  const head = [
    `AgentRuntime ${isOne ? name : `${namespace}/${name}`}`,
    toned(standing.state, TONES[standing.state], sheet),
    `pods ${podSummary ?? 'unknown'}`,
    ...(runtime.desired === undefined ? [] : [`settings ${settings(runtime)}`]),
  ].join('   ')
  const why = standing.state === 'Ready' ? [] : plain(whyOf(standing), sheet)
  return [
    head,
    ...why,
    ...(pods.length === 0 ? [] : tableLines(podTable(pods), inset(sheet)).map(indent)),
    ...(bundles.length === 0 ? [] : tableLines(bundleTable(bundles), inset(sheet)).map(indent)),
    ...(incidents.length === 0 ? [] : tableLines(incidentTable(incidents), inset(sheet)).map(indent)),
  ]
}

const indent = (line: string): string => `  ${line}`
const inset = (sheet: Sheet): Sheet => ({ ...sheet, width: sheet.width === undefined ? undefined : sheet.width - 2 })

/** A text of its own, as wide as there is room. */
const plain = (text: string, sheet: Sheet): string[] =>
  text === ''
    ? []
    : tableLines({ head: [''], rows: [[text]] }, inset(sheet))
        .slice(1)
        .map(indent)

const settings = ({ desired, lastGood }: RuntimeReport): string =>
  lastGood === undefined || lastGood === desired ? short(desired) : `${short(desired)} (last good ${short(lastGood)})`

const whyOf = ({ reason, message }: Standing): string =>
  [reason, message].filter((part) => part !== undefined).join(': ')

const yesNo = (value: boolean): Cell => ({ text: value ? 'yes' : 'no', tone: value ? undefined : 'bad' })

const podTable = (pods: RuntimeReport['pods']): Table => ({
  head: ['POD', 'READY', 'COMPLETE', 'LINK', 'MESSAGE'],
  rows: pods.map(({ name, ready, complete, link, reason, message }) => [
    name,
    yesNo(ready),
    yesNo(complete),
    { text: link, tone: link === 'Unreachable' ? 'bad' : undefined },
    [reason, message].filter((part) => part !== undefined).join(': '),
  ]),
})

const bundleTable = (bundles: readonly BundleReport[]): Table => ({
  head: ['BUNDLE', 'CONFIGMAP', 'HASH', 'LAST GOOD', 'STATE', 'MESSAGE'],
  rows: bundles.map((bundle) => [
    bundle.name,
    bundle.configMap,
    short(bundle.hash),
    short(bundle.lastGood),
    { text: bundle.state, tone: BUNDLE_TONES[bundle.state] },
    bundle.state === 'Unseen' && bundle.contents !== undefined
      ? `the ConfigMap holds ${short(bundle.contents)} now, which the operator has not told of yet`
      : errorText(bundle),
  ]),
})

const SHOWN_INCIDENTS = 5

const incidentTable = (incidents: readonly IncidentReport[]): Table => ({
  head: ['INCIDENT', 'TIMES', 'LAST', 'MESSAGE'],
  rows: incidents
    .slice(0, SHOWN_INCIDENTS)
    .map(({ reason, count, at, message }) => [
      { text: reason, tone: 'bad' },
      String(count),
      clockText(at).slice(0, 'hh:mm:ss'.length),
      message,
    ]),
})

const itemTable = (items: readonly ItemReport[], isOne: boolean): Table => ({
  head: [
    ...(isOne ? [] : ['NAMESPACE']),
    ...['KIND', 'NAME', 'RUNTIME', 'REVISION', 'LAST GOOD', 'PODS', 'STATE', 'MESSAGE'],
  ],
  rows: items.map((item) => [
    ...(isOne ? [] : [item.namespace]),
    item.kind,
    item.name,
    item.runtime,
    short(item.desired),
    short(item.lastGood),
    item.pods ?? '',
    { text: item.standing.state, tone: TONES[item.standing.state] },
    item.standing.state === 'Ready' ? '' : whyOf(item.standing),
  ]),
})

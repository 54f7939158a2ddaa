import type { Kind, RunnableKind } from '../../api/index.ts'
import { timestamp } from '../../kube/index.ts'
import type { Entry } from '../compile/compile.ts'
import type { ManagedView, RuntimeView } from '../ports.ts'
import {
  parseItemStatus,
  parseRuntimeStatus,
  type Report,
  reportItem,
  reportRuntime,
  type Declared as Standing,
} from '../report/index.ts'
import type { RuntimeUnit } from '../unit/unit.ts'
import type { Declared } from '../world/catalogue.ts'

export type ReportTimes = {
  /** Milliseconds since 1970. */
  readonly now: number
  readonly sinceWriteMs: number | undefined
}

/** What is to be said of an object, and whether it serves where it is to serve. */
export type ObjectReport = Report<object> & { readonly serves: boolean }

/**
 * The status of an object, from what its unit knows.
 * @param serving undefined: there is no such AgentRuntime
 * @returns undefined as long as the unit does not know the object as it is now, or what pods there are
 */
export function reportOn(
  { object, entry }: Declared,
  serving: { readonly unit: RuntimeUnit; readonly managed: ManagedView | undefined } | undefined,
  times: ReportTimes,
): ObjectReport | undefined {
  const unit = serving?.unit
  const item = unit ? unit.declared(entry) : declaredAlone(entry)
  if (item === undefined) return undefined
  const common = {
    generation: object.metadata.generation ?? 0,
    item,
    unsettledMs: unit?.unsettledMs(entry.id) ?? 0,
    sinceWriteMs: times.sinceWriteMs,
    now: timestamp(times.now),
  }
  const view = serving && viewOf(serving.unit.view, serving.managed)
  const serves = item.type === 'compiled' && (unit?.acknowledged.serves(entry.id, item.revision) ?? false)
  if (!isRunnable(entry.ref.kind)) {
    if (view === undefined) return undefined
    const previous = parseRuntimeStatus(object.status)
    return { ...reportRuntime({ ...common, previous, runtime: view }), serves }
  }
  const previous = parseItemStatus(object.status)
  const named = { kind: entry.ref.kind, id: entry.id, runtimeName: entry.runtime }
  return { ...reportItem({ ...common, ...named, previous, runtime: view }), serves }
}

const viewOf = (view: RuntimeView, managed: ManagedView | undefined): RuntimeView =>
  managed === undefined ? view : { ...view, managed }

const declaredAlone = (entry: Entry): Standing =>
  entry.type === 'refused'
    ? { type: 'refused', problems: entry.problems }
    : { type: 'compiled', revision: entry.item.revision }

const isRunnable = (kind: Kind): kind is RunnableKind => kind !== 'AgentRuntime'

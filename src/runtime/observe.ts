import type { ItemState as DeclaredState, Reason, RuntimeState } from '../api/index.ts'
import {
  ITEM_STATES,
  type ItemState,
  type Metrics,
  RELOAD_KINDS,
  type ReloadKind,
  type ReloadStage,
} from '../metrics.ts'
import type { Incidents } from './incidents.ts'
import { type Failed, isReverted, type Registry, type RegistryObserver, type Settlement } from './registry/index.ts'
import type { HotReload } from './reload/index.ts'
import { stagesOf } from './reload/record.ts'
import type { RunObserver } from './run/index.ts'

/** Of versions of bundles that fail on probation: gone back from, or serving on. */
export type ProbationObserver = { wentBack(failed: Failed): void; failed(failed: Failed): void }

/**
 * Counts what the registry settles and lets only the names that serve become label values.
 * @param reloads told of what settles, when it has been counted
 * @param probation told of versions that fail on it
 */
export function registryObserver(
  metrics: Metrics,
  reloads: Pick<HotReload, 'settled'>,
  probation: ProbationObserver,
): RegistryObserver {
  return {
    failed: (failed) => probation.failed(failed),
    settled: (settlement) => {
      const { id, source, result, timing, noticed, wentBack, bundle } = settlement
      const { outcome, revision, error } = result
      const isRemoval = outcome === 'activated' && revision === undefined
      metrics.reloaded({
        source,
        kind: kindOf(id),
        result: isReverted(settlement) ? 'reverted' : isRemoval ? 'removed' : outcome,
        ...(error === undefined ? {} : { reason: error.reason }),
        seconds: inSeconds({ ...stagesOf(settlement), total: totalOf(timing, noticed) }),
      })
      if (wentBack !== undefined && outcome === 'activated') {
        metrics.wentBack(wentBack.cause)
        if (wentBack.cause === 'probation' && bundle !== undefined)
          probation.wentBack({ bundle: bundle.name, problem: wentBack.error })
      }
      reloads.settled(settlement)
    },
    swapped: ({ agents, teams, workflows, models, tools }) => {
      metrics.snapshotSwapped()
      metrics.serving({
        agents: agents.keys(),
        teams: teams.keys(),
        workflows: workflows.keys(),
        models: models.keys(),
        tools: [...tools.keys()].filter((name) => name.includes('/')),
      })
    },
  }
}

const totalOf = ({ loadMs, swapMs }: Settlement['timing'], noticed: Settlement['noticed']): number =>
  (noticed === undefined ? 0 : noticed.detectMs + noticed.readMs) + loadMs + swapMs

const inSeconds = (ms: Partial<Record<ReloadStage, number>>): Partial<Record<ReloadStage, number>> =>
  Object.fromEntries(Object.entries(ms).map(([stage, value]) => [stage, value / 1000]))

/** The first part of a unit's id: `agents/support` → `agents`. */
const kindOf = (id: string): ReloadKind =>
  RELOAD_KINDS.find((kind) => id === kind || id.startsWith(`${kind}/`)) ?? 'settings'

/**
 * Counts runs, nested ones included, and tells the registry how those that were asked for ended.
 * @param incidents told of extensions that failed: their runs went on
 */
export function runObserver(metrics: Metrics, registry: Registry, incidents: Pick<Incidents, 'happened'>): RunObserver {
  return {
    started: () => metrics.runStarted(),
    ended: ({ kind, name, digest }, status, durationMs) => {
      metrics.runEnded({ kind, name, status, seconds: durationMs / 1000 })
      registry.recordRun(digest, status === 'failed')
    },
    tokens: ({ name }, model, { inputTokens, outputTokens }) =>
      metrics.tokensSpent({ name, model, input: inputTokens, output: outputTokens }),
    toolCall: (_run, tool, result: 'ok' | Reason) => {
      const served = registry.current.tools.get(tool)?.description
      const name = served === undefined ? tool : `${served.bundle}/${served.name}`
      metrics.toolCalled(name, result === 'ok' ? 'ok' : 'error')
    },
    called: (version, file, problem) => void registry.called(version, file, problem),
    extension: ({ name: agent }, { bundle, file, point }, result) => {
      metrics.extensionCalled(point, result === 'ok' ? 'ok' : 'error')
      if (result !== 'ok') incidents.happened({ bundle, point, agent, problem: { file, ...result } })
    },
  }
}

/** Brings the gauges up to date: to be called when they are read. */
export function refreshGauges(metrics: Metrics, registry: Registry): void {
  const { items, bundles } = registry.state()
  const counts = new Map<ReloadKind, Map<ItemState, number>>(RELOAD_KINDS.map((kind) => [kind, new Map()]))
  const count = (kind: ReloadKind, state: ItemState) => {
    const states = counts.get(kind)
    states?.set(state, (states.get(state) ?? 0) + 1)
  }
  for (const [id, item] of Object.entries(items)) for (const state of statesOf(item)) count(kindOf(id), state)
  for (const bundle of Object.values(bundles)) for (const state of statesOf(bundle)) count('bundles', state)
  for (const [kind, states] of counts)
    for (const state of ITEM_STATES) metrics.setItems(kind, state, states.get(state) ?? 0)
  metrics.setBundleVersions(registry.bundleVersionsAlive)
}

/** An item can serve one revision and wait or be refused with another. */
function statesOf({ active, candidate }: DeclaredState | RuntimeState['bundles'][string]): ItemState[] {
  return [
    ...(active === undefined ? [] : (['active'] as const)),
    ...(candidate === undefined ? [] : ([candidate.outcome === 'pending' ? 'pending' : 'rejected'] as const)),
  ]
}

import type { Clock } from '../../clock.ts'
import {
  createStore,
  type KubeObject,
  type ObjectName,
  type ResourceType,
  type Store,
  type WatchClient,
  type WatchMetrics,
  watchObjects,
} from '../../kube/index.ts'
import type { Log } from '../../log.ts'
import { controllerOf } from '../runtimes/index.ts'
import type { WatchLog } from './watch-log.ts'

const PODS: ResourceType = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true }

export type PodWatchOptions = {
  readonly client: WatchClient
  readonly clock: Clock
  readonly log: Log
  readonly metrics: WatchMetrics
  readonly watchLog: WatchLog
  readonly onChange: (runtime: ObjectName) => void
}

/** Pods that each AgentRuntime selects, watched by their labels. */
export interface PodWatches {
  /** Watches exactly these selections from now on. */
  follow(selections: ReadonlyMap<string, PodSelection>): void
  /** Pods of an AgentRuntime's selection; undefined until the first list is complete. */
  pods(runtimeKey: string): readonly KubeObject[] | undefined
}

export type PodSelection = { readonly runtime: ObjectName; readonly matchLabels: Readonly<Record<string, string>> }

export function watchPods(options: PodWatchOptions, signal: AbortSignal): PodWatches {
  const watches = new Map<string, { readonly labels: string; readonly store: Store; readonly stop: AbortController }>()

  const start = ({ runtime, matchLabels }: PodSelection) => {
    const { client, clock, log, metrics, watchLog, onChange } = options
    const stop = new AbortController()
    const store = createStore({ log, transform: podOf })
    const labelSelector = selectorOf(matchLabels)
    store.subscribe(() => onChange(runtime))
    const { namespace } = runtime
    const ends = AbortSignal.any([signal, stop.signal])
    const onState = watchLog(PODS.kind, namespace)
    void watchObjects({ client, type: PODS, sink: store, namespace, labelSelector, metrics, clock, onState }, ends)
    // An empty list is news too.
    void store.synced(ends).then(
      () => onChange(runtime),
      () => undefined,
    )
    return { labels: labelSelector, store, stop }
  }

  return {
    follow: (selections) => {
      for (const [key, { labels, stop }] of [...watches]) {
        const wanted = selections.get(key)
        if (wanted && selectorOf(wanted.matchLabels) === labels) continue
        stop.abort()
        watches.delete(key)
      }
      for (const [key, selection] of selections) if (!watches.has(key)) watches.set(key, start(selection))
    },
    pods: (key) => {
      const store = watches.get(key)?.store
      return store?.hasSynced ? store.list() : undefined
    },
  }
}

const selectorOf = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')

/** What is needed of a pod: the rest would be most of the memory. */
function podOf(pod: KubeObject): KubeObject {
  const { apiVersion, kind, metadata, status } = pod
  const { name, namespace, uid, resourceVersion, deletionTimestamp, labels = {} } = metadata
  const { [HASH_LABEL]: hash } = labels
  const controller = controllerOf(pod)
  const kept = {
    ...{ name, namespace, uid, resourceVersion, deletionTimestamp },
    labels: hash === undefined ? undefined : { [HASH_LABEL]: hash },
    ownerReferences: controller && [controller],
  }
  const known = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined))
  const { phase, podIP, conditions, containerStatuses } = (status ?? {}) as Record<string, unknown>
  const waiting = Array.isArray(containerStatuses) ? containerStatuses.filter(isWaiting) : []
  const told = { phase, podIP, conditions, ...(waiting.length > 0 && { containerStatuses: waiting }) }
  return { apiVersion, kind, metadata: known as KubeObject['metadata'], status: told }
}

const HASH_LABEL = 'pod-template-hash'

/** A container that does not run, and says why. */
const isWaiting = (container: unknown): boolean => {
  const { state } = (container ?? {}) as { readonly state?: { readonly waiting?: unknown } }
  return state?.waiting !== undefined
}

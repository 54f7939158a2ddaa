import type { Clock } from '../../clock.ts'
import {
  type KubeClient,
  type ObjectName,
  type ResourceType,
  type WatchClient,
  type WatchMetrics,
  type WatchObjectsOptions,
  watchObjects,
} from '../../kube/index.ts'
import type { Log } from '../../log.ts'
import { RUNTIME_LABEL } from '../runtimes/owned.ts'
import type { WatchLog } from '../world/watch-log.ts'
import { configMapFiles, secretData } from './config-map.ts'
import { Shelf, type ShelfChange, type ShelfOptions, type ShelfSource } from './shelf.ts'
import type { ConfigMapView, SecretView } from './view.ts'

/** Names of what an AgentRuntime needs, in its own namespace. */
export type Wanted = { readonly configMaps: readonly string[]; readonly secrets: readonly string[] }

/** The AgentRuntime that needs it; `part`: what of it, where several parts each say what they need. */
export type WantedBy = ObjectName & { readonly part?: string }

/** The AgentRuntimes of a namespace to which a change may matter, by name. */
export type Concerned = 'all' | ReadonlySet<string>

/**
 * ConfigMaps and Secrets that AgentRuntimes need. All of a namespace are watched as metadata only; the data is read of
 * those that are wanted, whenever their metadata shows a change, and forgotten when they are not wanted any more.
 */
export interface Dependents {
  /** Watches exactly these namespaces from now on. What is known of others is forgotten. */
  follow(namespaces: ReadonlySet<string>): void
  /** What an AgentRuntime needs from now on, in place of what it needed before. */
  want(owner: WantedBy, wanted: Wanted): void
  /** `loading` also for what nobody wants. A ConfigMap that was deleted is found for 30 s more, with its last data. */
  configMap(namespace: string, name: string): ConfigMapView
  /** `loading` also for what nobody wants. */
  secret(namespace: string, name: string): SecretView
  /** Whether a Secret, wanted or not, is still as it was at that version, or still not there, as far as anybody knows. */
  secretStands(namespace: string, name: string, resourceVersion: string | undefined): boolean
  /** Names of the ConfigMaps with these labels, oldest first. Empty until the namespace has been listed. */
  labelled(namespace: string, matchLabels: Readonly<Record<string, string>>): string[]
  /** Whether all names of a namespace are known: before, nothing must be concluded from `labelled`. */
  hasSynced(namespace: string): boolean
}

export type DependentsOptions = {
  readonly client: Pick<KubeClient, 'get'> & WatchClient
  readonly clock: Clock
  readonly log: Pick<Log, 'warn' | 'error'>
  /** Something that may matter to these changed. Called synchronously, often more than once. */
  readonly onChange: (namespace: string, concerned: Concerned) => void
  /** Whether a Secret of an AgentRuntime that it does not want is missed when it goes; when absent, all are. */
  readonly isMissed?: (secret: ObjectName, runtime: string) => boolean
  readonly metrics?: WatchMetrics
  readonly watchLog?: WatchLog
  readonly random?: () => number
  readonly watch?: (options: WatchObjectsOptions, signal: AbortSignal) => Promise<void>
}

/** Delete and re-create is how many tools replace a ConfigMap. */
const CONFIG_MAP_GRACE_MS = 30_000

const CONFIG_MAPS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
}
const SECRETS: ResourceType = { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true }
/** Releases of Helm are many, large and of no use here. */
const WITHOUT_RELEASES = 'type!=helm.sh/release.v1'

type Wants = ReadonlyMap<string, { readonly runtime: string; readonly wanted: Wanted }>

type Shelves = { readonly configMaps: Shelf; readonly secrets: Shelf; readonly stop: AbortController }

/** Watches until the signal aborts. */
export function createDependents(options: DependentsOptions, signal: AbortSignal): Dependents {
  const followed = new Map<string, Shelves>()
  const wants = new Map<string, Map<string, { readonly runtime: string; readonly wanted: Wanted }>>()

  const tell = (namespace: string, { configMaps, secrets }: Shelves) => {
    const all = [...(wants.get(namespace)?.values() ?? [])]
    configMaps.want(new Set(all.flatMap(({ wanted }) => wanted.configMaps)))
    secrets.want(new Set(all.flatMap(({ wanted }) => wanted.secrets)))
  }

  const start = (namespace: string): Shelves => {
    const stop = new AbortController()
    const ends = AbortSignal.any([signal, stop.signal])
    const shelves = {
      configMaps: new Shelf(
        shelfOf(options, namespace, CONFIG_MAPS, () => wants.get(namespace)),
        ends,
      ),
      secrets: new Shelf(
        shelfOf(options, namespace, SECRETS, () => wants.get(namespace)),
        ends,
      ),
      stop,
    }
    tell(namespace, shelves)
    return shelves
  }

  return {
    follow: (namespaces) => {
      for (const [namespace, { stop }] of followed) {
        if (namespaces.has(namespace)) continue
        stop.abort(new Error('the namespace is not followed any more'))
        followed.delete(namespace)
      }
      for (const namespace of wants.keys()) if (!namespaces.has(namespace)) wants.delete(namespace)
      for (const namespace of namespaces) if (!followed.has(namespace)) followed.set(namespace, start(namespace))
    },
    want: (owner, wanted) => {
      const { namespace = '', name: runtime, part = '' } = owner
      const key = `${runtime}/${part}`
      const owners = wants.get(namespace) ?? new Map<string, { runtime: string; wanted: Wanted }>()
      wants.set(namespace, owners)
      if (wanted.configMaps.length + wanted.secrets.length > 0) owners.set(key, { runtime, wanted })
      else owners.delete(key)
      if (owners.size === 0) wants.delete(namespace)
      const shelves = followed.get(namespace)
      if (shelves !== undefined) tell(namespace, shelves)
    },
    configMap: (namespace, name) => followed.get(namespace)?.configMaps.view(name) ?? { type: 'loading' },
    secret: (namespace, name) => followed.get(namespace)?.secrets.view(name) ?? { type: 'loading' },
    secretStands: (namespace, name, resourceVersion) =>
      followed.get(namespace)?.secrets.stands(name, resourceVersion) ?? true,
    labelled: (namespace, matchLabels) => followed.get(namespace)?.configMaps.labelled(matchLabels) ?? [],
    hasSynced: (namespace) => {
      const { configMaps, secrets } = followed.get(namespace) ?? {}
      return configMaps?.hasSynced === true && secrets?.hasSynced === true
    },
  }
}

function shelfOf(
  options: DependentsOptions,
  namespace: string,
  type: ResourceType,
  wants: () => Wants | undefined,
): ShelfOptions {
  const { client, clock, log, metrics, onChange, random = Math.random, watch = watchObjects } = options
  const isSecret = type === SECRETS
  const source: ShelfSource = {
    watch: (sink, signal) => {
      const fieldSelector = isSecret ? WITHOUT_RELEASES : undefined
      const onState = options.watchLog?.(type.kind, namespace)
      const selection = { namespace, fieldSelector, metadataOnly: true }
      return watch({ client, type, sink, ...selection, metrics, clock, random, onState }, signal)
    },
    get: (name, signal) => client.get(type, { namespace, name }, signal),
    decode: isSecret ? secretData : configMapFiles,
  }
  const concernedBy = (change: ShelfChange): Concerned => {
    switch (change.type) {
      case 'synced':
        return 'all'
      case 'data':
        return whoWants(wants(), isSecret ? 'secrets' : 'configMaps', change.name)
      case 'labels':
        // Whoever selects by labels has to look again: that is done with ConfigMaps only.
        return isSecret ? whoMisses(change, options.isMissed) : 'all'
    }
  }
  return {
    source,
    kind: type.kind,
    namespace,
    graceMs: isSecret ? 0 : CONFIG_MAP_GRACE_MS,
    clock,
    log,
    random,
    onChange: (change) => {
      const concerned = concernedBy(change)
      if (concerned === 'all' || concerned.size > 0) onChange(namespace, concerned)
    },
  }
}

function whoWants(wants: Wants | undefined, kind: keyof Wanted, name: string): ReadonlySet<string> {
  const all = [...(wants?.values() ?? [])].filter(({ wanted }) => wanted[kind].includes(name))
  return new Set(all.map(({ runtime }) => runtime))
}

/** Those whose Secret it was by its label. One that came is nothing to them unless they want it. */
function whoMisses(
  { old, now }: Extract<ShelfChange, { type: 'labels' }>,
  isMissed: DependentsOptions['isMissed'] = () => true,
): ReadonlySet<string> {
  const runtime = old?.metadata.labels?.[RUNTIME_LABEL]
  if (old === undefined || runtime === undefined || !isMissed(old.metadata, runtime)) return new Set()
  const other = now?.metadata.labels?.[RUNTIME_LABEL]
  return new Set(other === undefined ? [runtime] : [runtime, other])
}

import { pushOf } from '../api/index.ts'
import type { KubeObject } from '../kube/types.ts'
import { type Desired, type RuntimeTarget, type SecretSource, syncTarget } from '../operator/index.ts'
import { createWake } from '../runtime/files/index.ts'
import type { Management, MountedBundles, SnapshotSource } from '../runtime/registry/index.ts'
import { createBundleHistory } from './bundle-history.ts'
import { type BundlePlan, type DirectoryBundle, planBundles } from './bundles.ts'
import { type Declared, declaredBy } from './declared.ts'
import { createMounts, type MountsObserver } from './mounts.ts'
import { createObserver, type SessionObserver } from './observer.ts'
import type { LocatedProblem, Report } from './report.ts'
import { createSecrets, type Environment } from './secrets.ts'
import { createDirectorySource, type DirectorySource } from './source/directory-source.ts'
import { objectKey, type SourceEvent } from './source/manifest-set.ts'

export type SessionOptions = {
  /** Directories and files with manifests, in the order in which they take precedence. */
  readonly manifests: readonly string[]
  readonly bundles: readonly DirectoryBundle[]
  /** Where secrets are looked for that no manifest has. */
  readonly environment: Environment
  readonly runtime: Management & MountedBundles & SnapshotSource
  /** `once`: directories of bundles are read once. Manifests are followed all the same. Default always. */
  readonly reading?: 'always' | 'once'
  /** Told of every reload after the first load. */
  readonly report: (report: Report) => void
}

/** Manifests and files that are kept loaded in one runtime. */
export interface Session {
  /** Everything that is refused or waits now. */
  problems(): LocatedProblem[]
  /** Resolves when the signal has aborted and nothing is watched any more. */
  readonly ended: Promise<void>
}

/** Name under which dev mode claims the runtime. */
const CLAIM = 'dev'
/** The loop wakes up by events; this is only the longest time it sleeps. */
const SLEEP_MS = 60_000

/** Loads everything that is there, then follows every change until the signal aborts. Resolves after the first load. */
export async function startSession(options: SessionOptions, signal: AbortSignal): Promise<Session> {
  const state = createState(options, signal)
  const ready = Promise.withResolvers<void>()
  const tasks = Promise.all([followSource(state, signal), followRuntime(state, signal), work(state, ready, signal)])
  const ended = tasks.then(() => state.mounts.ended())
  await Promise.race([ready.promise, ended])
  return { ended, problems: () => state.observer.problems() }
}

type State = {
  readonly options: SessionOptions
  readonly source: DirectorySource
  readonly objects: Map<string, KubeObject>
  readonly secrets: SecretSource
  readonly mounts: ReturnType<typeof createMounts>
  readonly observer: SessionObserver
  readonly history: ReturnType<typeof createBundleHistory>
  readonly wake: ReturnType<typeof createWake>
  /** `listing`: the source has not shown everything yet; `stale`: objects changed since the last sync. */
  phase: 'listing' | 'stale' | 'synced'
  /** The bundles of the last settings that could be read: a slip in the settings moves no files. */
  entries: Declared['compiled']['bundles']
}

function createState(options: SessionOptions, signal: AbortSignal): State {
  const objects = new Map<string, KubeObject>()
  const history = createBundleHistory()
  const source = createDirectorySource(options.manifests)
  const observer = createObserver({ runtime: options.runtime, source, history, report: options.report })
  const wake = createWake(signal)
  const mountsObserver: MountsObserver = {
    offering: (bundle) => {
      history.saw(bundle)
      observer.saw(`bundle/${bundle.name}`, performance.now())
    },
    saw: (name) => observer.saw(`bundle/${name}`, performance.now()),
    settled: wake.notify,
  }
  return {
    options,
    source,
    objects,
    observer,
    history,
    secrets: createSecrets((name) => objects.get(objectKey('Secret', name)), options.environment),
    mounts: createMounts(options.runtime, mountsObserver, signal, options.reading),
    wake,
    phase: 'listing',
    entries: [],
  }
}

async function followSource(state: State, signal: AbortSignal): Promise<void> {
  for await (const event of state.source.events(signal)) {
    takeEvent(state, event)
    if (state.phase !== 'listing') state.wake.notify()
  }
}

function takeEvent(state: State, event: SourceEvent): void {
  const { objects, observer } = state
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED': {
      const key = objectKey(event.object.kind, event.object.metadata.name)
      if (event.type === 'DELETED') objects.delete(key)
      else objects.set(key, event.object)
      observer.saw(key, event.seenAt)
      if (state.phase === 'synced') state.phase = 'stale'
      return
    }
    case 'BOOKMARK':
      state.phase = 'stale'
      return
    case 'FAILED':
      observer.fileFailed(event.file, event, event.seenAt)
      return
    case 'RECOVERED':
      observer.fileMended(event.file, 'reloaded', event.seenAt)
      return
    case 'REMOVED':
      observer.fileMended(event.file, 'removed', event.seenAt)
  }
}

async function followRuntime({ options, observer, wake }: State, signal: AbortSignal): Promise<void> {
  for await (const event of options.runtime.events(signal)) {
    if (event.type === 'incident') observer.befell(event)
    else if (event.type !== 'stats') wake.notify()
  }
}

async function work(state: State, ready: { resolve(): void }, signal: AbortSignal): Promise<void> {
  let isLoaded = false
  while (!signal.aborted) {
    if (state.phase === 'stale') {
      state.phase = 'synced'
      await reconcile(state, signal)
      if (!isLoaded) state.observer.loaded()
      isLoaded = true
      ready.resolve()
    }
    const lookAgainMs = isLoaded ? state.observer.look() : undefined
    await state.wake.sleep(lookAgainMs ?? SLEEP_MS)
  }
}

async function reconcile(state: State, signal: AbortSignal): Promise<void> {
  const { objects, observer, mounts, options, history } = state
  const declared = declaredBy([...objects.values()])
  if (!declared.held.has('settings')) state.entries = declared.compiled.bundles
  const findConfigMap = (name: string) => objects.get(objectKey('ConfigMap', name))
  const plan = planBundles(state.entries, options.bundles, findConfigMap)
  for (const bundle of plan.pushed.values()) history.saw(bundle)
  observer.declared(declared, plan, state.entries)
  await syncTarget(inProcess(options.runtime), await desiredOf(declared, plan, state), signal)
  await mounts.follow(plan.mounted)
}

async function desiredOf(declared: Declared, plan: BundlePlan, { secrets }: State): Promise<Desired> {
  const { compiled, held } = declared
  const found = await Promise.all(
    compiled.secrets.map(async (ref) => [`${ref.name}/${ref.key}`, await secrets.read(ref)] as const),
  )
  return {
    owner: 'dev',
    fence: 0,
    claim: CLAIM,
    items: compiled.items,
    held,
    bundles: new Map([...plan.pushed].map(([name, bundle]) => [name, pushOf(bundle)])),
    kept: new Set(plan.mounted.keys()),
    pins: new Map(),
    keptSecrets: new Set(),
    isWhole: true,
    secrets: new Map(found.flatMap(([id, value]) => (value === undefined ? [] : [[id, value] as const]))),
  }
}

/** A runtime in this process as a target of a sync. */
const inProcess = (management: Management): RuntimeTarget => ({
  state: async () => ({ type: 'state', state: management.state() }),
  apply: (request) => management.apply(request),
  events: (signal, lastEventId) => management.events(signal, lastEventId),
})

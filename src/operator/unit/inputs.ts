import {
  type AdoptSpec,
  agentRuntimeSpec,
  bundleOf,
  type ItemId,
  type Problem,
  pushOf,
  roleOf,
  SETTINGS_ID,
  type SecretKeyRef,
  secretId,
} from '../../api/index.ts'
import type { ObjectName } from '../../kube/types.ts'
import { combine, type Entry } from '../compile/compile.ts'
import type { ConfigMapView, Dependents, SecretView } from '../dependents/index.ts'
import type { BundleInput } from '../place/place.ts'
import type { BundleView, Compiled, Desired } from '../ports.ts'
import type { Declared } from '../report/index.ts'
import { bundleOfUnit } from '../unit-id.ts'
import type { Catalogue } from '../world/catalogue.ts'

/** What an AgentRuntime's spec says of its pods, as far as it can be read. */
export type RuntimeSpec = Extract<Entry, { type: 'parsed' }>['resource'] & { kind: 'AgentRuntime' }

/** Whose the pods of an AgentRuntime are. */
export type PodSource =
  | { readonly type: 'adopted'; readonly adopt: AdoptSpec }
  /** The operator runs them. */
  | { readonly type: 'managed' }
  /** What is declared cannot be read. */
  | { readonly type: 'unknown' }

export type InputSources = { readonly catalogue: Catalogue; readonly dependents: Dependents }

/** Everything that decides what the pods of an AgentRuntime should hold, but for what the pods themselves said. */
export type Inputs = {
  readonly compiled: Compiled
  /** Items whose objects do not have the finalizer yet: they are not placed before. */
  readonly unguarded: ReadonlySet<ItemId>
  readonly source: PodSource
  readonly bundles: ReadonlyMap<string, BundleInput>
  readonly bundleViews: ReadonlyMap<string, BundleView>
  readonly secrets: Desired['secrets']
  readonly unknownSecrets: ReadonlySet<string>
  /** Why tools lack the value of a Secret that the settings name for them: the first of them. */
  readonly toolSecrets: Problem | undefined
}

/**
 * Gathers the inputs of an AgentRuntime, and compiles its objects again only when one of them changed. Undefined as long
 * as the ConfigMaps and Secrets of its namespace are not known: nothing must be concluded before.
 */
export function createGatherer(name: ObjectName, { catalogue, dependents }: InputSources): () => Inputs | undefined {
  const { namespace = '' } = name
  let known: { readonly version: string; readonly now: Pick<Inputs, 'compiled' | 'unguarded'> } | undefined
  let combined: { readonly from: readonly unknown[]; readonly compiled: Compiled } | undefined

  /** A finalizer that was set changes what may be placed, and nothing of what it is. */
  const combinedNow = (entries: readonly Entry[], selected: readonly string[]): Compiled => {
    const from = [...entries, ...selected]
    if (!combined || !isSameList(from, combined.from))
      combined = { from, compiled: combine(entries, name.name, selected) }
    return combined.compiled
  }

  const compiledNow = (selected: readonly string[]): Pick<Inputs, 'compiled' | 'unguarded'> => {
    const version = [catalogue.version(name), ...selected].join('/')
    if (known?.version !== version) {
      const declared = [...catalogue.of(name)]
      const entries = declared.map(({ entry }) => entry)
      const compiled = combinedNow(entries, selected)
      const unguarded = new Set(declared.flatMap(({ entry, isGuarded }) => (isGuarded ? [] : [entry.id])))
      known = { version, now: { compiled, unguarded } }
    }
    return known.now
  }

  return () => {
    if (!dependents.hasSynced(namespace)) return undefined
    const spec = runtimeSpecOf(catalogue, name)
    const selector = spec?.bundleSelector
    const selected = selector === undefined ? [] : dependents.labelled(namespace, selector.matchLabels)
    const { compiled, unguarded } = compiledNow(selected)
    const declared = new Set(spec?.bundles.map(({ configMap }) => configMap))
    const source = sourceOf(catalogue, name)
    dependents.want(name, {
      configMaps: compiled.bundles.map(({ configMap }) => configMap),
      secrets: [...compiled.secrets, ...secretsOf(source)].map((ref) => ref.name),
    })
    const bundles = compiled.bundles.map(({ name: bundle, configMap }) => {
      const mayHoldTools = declared.has(configMap) || selector?.allowTools === true
      const view = dependents.configMap(namespace, configMap)
      return [bundle, configMap, bundleFrom(bundle, { configMap, view, mayHoldTools })] as const
    })
    const secrets = compiled.secrets.map((ref) => [ref, dependents.secret(namespace, ref.name)] as const)
    return {
      compiled,
      unguarded,
      source,
      bundles: new Map(bundles.map(([bundle, , { input }]) => [bundle, input])),
      bundleViews: new Map(
        bundles.map(([bundle, configMap, { input, problem }]) => {
          const hash = input.type === 'files' ? input.push.hash : undefined
          return [bundle, { configMap, hash, problem }]
        }),
      ),
      secrets: new Map(secrets.flatMap(([ref, view]) => secretEntry(ref, view))),
      unknownSecrets: new Set(secrets.flatMap(([ref, { type }]) => (type === 'loading' ? [secretId(ref)] : []))),
      toolSecrets: missingToolSecret(compiled, (secret) => dependents.secret(namespace, secret)),
    }
  }
}

/** What has become of an object beside the others of its AgentRuntime; undefined when another version of it was compiled. */
export function declaredIn({ compiled }: Inputs, { id, ref, ...entry }: Entry): Declared | undefined {
  const item = compiled.items.get(id)
  if (item !== undefined) {
    const isThisOne = id === SETTINGS_ID || (entry.type === 'parsed' && entry.item === item)
    return isThisOne ? { type: 'compiled', revision: item.revision } : undefined
  }
  if (!compiled.held.has(id)) return undefined
  const problems = compiled.problems.filter((each) => each.ref.kind === ref.kind && each.ref.name === ref.name)
  return { type: 'refused', problems: problems.map(({ problem }) => problem) }
}

/** The spec of an AgentRuntime, when it can be read. */
export function runtimeSpecOf(catalogue: Catalogue, name: ObjectName): RuntimeSpec['spec'] | undefined {
  const entry = catalogue.get('AgentRuntime', name)?.entry
  return entry?.type === 'parsed' && entry.resource.kind === 'AgentRuntime' ? entry.resource.spec : undefined
}

/** Whose its pods are, also while the rest of its spec is impossible as declared. */
export function sourceOf(catalogue: Catalogue, name: ObjectName): PodSource {
  const spec: unknown = catalogue.get('AgentRuntime', name)?.object.spec
  if (typeof spec !== 'object' || spec === null) return { type: 'unknown' }
  if (!('adopt' in spec)) return { type: 'managed' }
  const adopt = agentRuntimeSpec.shape.adopt.safeParse(spec.adopt).data
  return adopt === undefined ? { type: 'unknown' } : { type: 'adopted', adopt }
}

/** The revision that is declared of a unit; of a bundle, its hash. */
export function desiredRevision(unit: string, { compiled, bundleViews }: Inputs): string | undefined {
  const bundle = bundleOfUnit(unit)
  return bundle === undefined ? compiled.items.get(unit)?.revision : bundleViews.get(bundle)?.hash
}

/** Secrets that reaching pods takes which somebody else runs. */
function secretsOf(source: PodSource): readonly SecretKeyRef[] {
  if (source.type !== 'adopted') return []
  const { tokenSecretRef, caSecretRef } = source.adopt
  return [tokenSecretRef, ...(caSecretRef ? [caSecretRef] : [])]
}

/** The value of a Secret's key as text; undefined while it is unknown or missing. */
export function secretValue(view: SecretView, key: string): string | undefined {
  return view.type === 'found' ? view.data.get(key)?.toString() : undefined
}

function secretEntry(ref: SecretKeyRef, view: SecretView): [string, { version: string; value: string }][] {
  const value = secretValue(view, ref.key)
  if (view.type !== 'found' || value === undefined) return []
  return [[secretId(ref), { version: `${view.uid}/${view.resourceVersion}`, value }]]
}

/** Tools run without it: it is `undefined` to them. */
function missingToolSecret({ items }: Compiled, viewOf: (name: string) => SecretView): Problem | undefined {
  const settings = items.get(SETTINGS_ID)?.definition
  const declared = settings?.kind === 'Settings' ? settings.spec.tools.secrets : []
  for (const [index, { name, secretKeyRef: ref }] of declared.entries()) {
    const view = viewOf(ref.name)
    if (view.type === 'loading' || secretValue(view, ref.key) !== undefined) continue
    const path = `spec.tools.secrets[${index}]`
    const message = `${path}: Secret "${ref.name}" with key "${ref.key}" was not found: create it, or take the entry out; until then secrets.${name} is undefined to tools`
    return { reason: 'SecretNotFound', message, path }
  }
  return undefined
}

const UNKNOWN: BundleInput = { type: 'unknown' }
const GONE: BundleInput = { type: 'gone' }

type BundleSource = { readonly configMap: string; readonly view: ConfigMapView; readonly mayHoldTools: boolean }

function bundleFrom(
  name: string,
  { configMap, view, mayHoldTools }: BundleSource,
): { readonly input: BundleInput; readonly problem?: Problem } {
  switch (view.type) {
    case 'loading':
      return { input: UNKNOWN }
    case 'missing': {
      const message = `there is no ConfigMap "${configMap}": create it, or take bundle "${name}" out of spec.bundles`
      return { input: GONE, problem: { reason: 'ConfigMapNotFound', message } }
    }
    case 'found': {
      const code = mayHoldTools ? undefined : [...view.data.keys()].find((path) => isCode(path))
      if (code === undefined) return { input: inputFrom(name, view.data) }
      const message = `ConfigMap "${configMap}" holds the ${roleOf(code).role} ${code}: set spec.bundleSelector.allowTools, or name the ConfigMap in spec.bundles`
      return { input: UNKNOWN, problem: { reason: 'ToolsNotAllowed', message, file: code } }
    }
  }
}

/** Whether a file runs by itself: helpers run only when one of these imports them. */
const isCode = (path: string): boolean => ['tool', 'extension'].includes(roleOf(path).role)

const inputs = new WeakMap<ReadonlyMap<string, Uint8Array>, BundleInput>()

/** A ConfigMap's files as they are pushed; the same files are encoded and hashed once. */
function inputFrom(name: string, files: ReadonlyMap<string, Uint8Array>): BundleInput {
  const known = inputs.get(files)
  if (known) return known
  const input: BundleInput = { type: 'files', push: pushOf(bundleOf(name, files)) }
  inputs.set(files, input)
  return input
}

/** Whether two lists hold the very same things in the same order. */
export const isSameList = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((each, index) => each === b[index])

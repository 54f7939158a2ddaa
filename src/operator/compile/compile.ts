import {
  type Definition,
  definitionRevision,
  type ItemId,
  isKind,
  itemIdOf,
  MAX_LIST,
  type Problem,
  problemsOfIssues,
  type Resource,
  resourceSchema,
  SETTINGS_ID,
  type SecretKeyRef,
  type SpecOf,
  secretId,
} from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import type { Compiled, CompiledItem, ObjectRef } from '../ports.ts'
import { checkResource } from './check.ts'
import { cyclesOf } from './cycles.ts'

type Refused = { readonly ref: ObjectRef; readonly problem: Problem }

/** One object as far as it can be compiled on its own; `runtime` is the AgentRuntime that it names, or is. */
export type Entry = { readonly id: ItemId; readonly ref: ObjectRef; readonly runtime: string } & (
  | { readonly type: 'parsed'; readonly resource: Resource; readonly item: CompiledItem }
  | { readonly type: 'refused'; readonly problems: readonly Problem[] }
)

/** Compiles one object on its own; undefined for other kinds. Pure. */
export function compileObject(object: KubeObject): Entry | undefined {
  const { kind } = object
  if (!isKind(kind)) return undefined
  const ref: ObjectRef = { kind, name: object.metadata.name, namespace: object.metadata.namespace }
  const entry = { id: itemIdOfRef(ref), ref, runtime: kind === 'AgentRuntime' ? ref.name : runtimeOf(object) }
  const parsed = resourceSchema(kind).safeParse(object)
  if (!parsed.success) return { ...entry, type: 'refused', problems: problemsOfIssues(parsed.error) }
  // The schema of `kind` has just parsed the spec; TypeScript cannot carry the pairing through the union.
  const resource = { kind, name: ref.name, namespace: ref.namespace, spec: parsed.data.spec } as Resource
  const problem = checkResource(resource)
  if (problem) return { ...entry, type: 'refused', problems: [problem] }
  return { ...entry, type: 'parsed', resource, item: itemOf(ref, definitionOf(resource)) }
}

/**
 * Compiles what one AgentRuntime should serve. Pure: the same objects give the same result, in any order.
 * References are left as names: whether they exist is decided in each pod, by what that pod holds.
 * @param objects of one namespace; those of other kinds, and of other runtimes, are passed over
 */
export function compile(objects: Iterable<KubeObject>, runtime: string): Compiled {
  return combine(
    [...objects].flatMap((object) => compileObject(object) ?? []),
    runtime,
  )
}

/**
 * What one AgentRuntime should serve, from entries of its namespace.
 * @param selected ConfigMaps that are bundles because of their labels, in order; one that `bundles` names already, or
 * whose name a bundle has, is passed over
 */
export function combine(entries: Iterable<Entry>, runtime: string, selected: readonly string[] = []): Compiled {
  const own = [...entries].filter((entry) => entry.runtime === runtime)
  const cycles = cyclesOf(own.flatMap((entry) => (entry.type === 'parsed' ? [entry.resource] : [])))
  const items = new Map<ItemId, CompiledItem>()
  const refused: Refused[] = []
  const held = new Set<ItemId>()
  for (const entry of own) {
    const { id, ref } = entry
    const problems = problemsOf(entry, cycles)
    if (problems.length > 0) {
      held.add(id)
      refused.push(...problems.map((problem) => ({ ref, problem })))
    } else if (entry.type === 'parsed') items.set(id, withSelected(entry.item, selected))
  }
  const settings = items.get(SETTINGS_ID)?.definition
  const spec = settings?.kind === 'Settings' ? settings.spec : undefined
  return {
    items,
    held,
    problems: refused,
    bundles: spec?.bundles ?? [],
    secrets: uniqueSecrets([
      ...(spec?.models.flatMap(({ apiKey }) => (apiKey ? [apiKey.secretKeyRef] : [])) ?? []),
      ...(spec?.tools.secrets.map(({ secretKeyRef }) => secretKeyRef) ?? []),
    ]),
  }
}

function problemsOf(entry: Entry, cycles: ReadonlyMap<ItemId, Problem>): readonly Problem[] {
  if (entry.type === 'refused') return entry.problems
  const cycle = cycles.get(entry.id)
  return cycle === undefined ? [] : [cycle]
}

/**
 * The settings with the selected ConfigMaps after the bundles that they name. Pods have no mount of those: one under such
 * a name is left over from `bundles`, of another ConfigMap, or of this one from when it might still hold tools.
 */
function withSelected(item: CompiledItem, selected: readonly string[]): CompiledItem {
  const { definition, ref } = item
  if (definition.kind !== 'Settings' || selected.length === 0) return item
  const { bundles } = definition.spec
  const taken = new Set(bundles.flatMap(({ name, configMap }) => [name, configMap]))
  const more = selected
    .filter((name) => !taken.has(name))
    .map((name) => ({ name, configMap: name, pushedOnly: true as const }))
  const spec = { ...definition.spec, bundles: [...bundles, ...more].slice(0, MAX_LIST) }
  return itemOf(ref, { ...definition, spec })
}

const itemIdOfRef = ({ kind, name }: ObjectRef): ItemId =>
  kind === 'AgentRuntime' ? SETTINGS_ID : itemIdOf(kind, name)

/** The runtime that an Agent, Team or Workflow names, whether or not the rest of it is valid. */
export function runtimeOf(object: KubeObject): string {
  const { spec } = object
  const named = typeof spec === 'object' && spec !== null && 'runtime' in spec ? spec.runtime : undefined
  return typeof named === 'string' ? named : 'default'
}

const itemOf = (ref: ObjectRef, definition: Definition): CompiledItem => ({
  ref,
  definition,
  revision: definitionRevision(definition),
})

function definitionOf({ kind, name, spec }: Resource): Definition {
  switch (kind) {
    case 'AgentRuntime':
      return { kind: 'Settings', name, spec: settingsOf(spec) }
    case 'Agent':
      return { kind, name, spec }
    case 'Team':
      return { kind, name, spec }
    case 'Workflow':
      return { kind, name, spec }
  }
}

/** The part of an AgentRuntime that its pods have to know. */
function settingsOf({ models, bundles, tools, network, dynamicApi }: SpecOf<'AgentRuntime'>) {
  return { models, bundles, tools, network, dynamicApi }
}

const uniqueSecrets = (refs: readonly SecretKeyRef[]): SecretKeyRef[] => [
  ...new Map(refs.map((ref) => [secretId(ref), ref])).values(),
]

/** Objects that name a runtime nobody declared. */
export function unplaced(objects: Iterable<KubeObject>, runtimes: ReadonlySet<string>): Refused[] {
  return [...objects].flatMap((object) => {
    if (!isKind(object.kind) || object.kind === 'AgentRuntime') return []
    const name = runtimeOf(object)
    if (runtimes.has(name)) return []
    const message = `spec.runtime: there is no AgentRuntime "${name}"`
    return [
      {
        ref: { kind: object.kind, name: object.metadata.name, namespace: object.metadata.namespace },
        problem: { reason: 'RuntimeNotFound', path: 'spec.runtime', message } as const,
      },
    ]
  })
}

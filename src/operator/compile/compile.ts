import {
  type Definition,
  definitionRevision,
  type ItemId,
  isKind,
  itemIdOf,
  type Kind,
  type Problem,
  problemsOfIssues,
  type Resource,
  resourceSchema,
  SETTINGS_ID,
  type SecretKeyRef,
} from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import type { Compiled, CompiledItem, ObjectRef } from '../ports.ts'
import { checkResource } from './check.ts'
import { cyclesOf } from './cycles.ts'

type Refused = { readonly ref: ObjectRef; readonly problem: Problem }

/**
 * Compiles what one AgentRuntime should serve. Pure: the same objects give the same result, in any order.
 * References are left as names: whether they exist is decided in each pod, by what that pod holds.
 * @param objects of one namespace; those of other kinds, and of other runtimes, are passed over
 */
export function compile(objects: Iterable<KubeObject>, runtime: string): Compiled {
  const parsed = [...objects].flatMap((object) => (concerns(object, runtime) ? parse(object) : []))
  const refused = parsed.filter((entry): entry is Refused => 'problem' in entry)
  const resources = parsed.filter((entry): entry is Parsed => 'resource' in entry)
  const cycles = cyclesOf(resources.map(({ resource }) => resource))

  const items = new Map<ItemId, CompiledItem>()
  for (const { ref, resource } of resources) {
    const problem = cycles.get(itemIdOfRef(ref)) ?? checkResource(resource)
    if (problem) refused.push({ ref, problem })
    else items.set(itemIdOfRef(ref), compileResource(ref, resource))
  }
  const settings = items.get(SETTINGS_ID)?.definition
  const spec = settings?.kind === 'Settings' ? settings.spec : undefined
  return {
    items,
    held: new Set(refused.map(({ ref }) => itemIdOfRef(ref))),
    problems: refused,
    bundles: spec?.bundles ?? [],
    secrets: uniqueSecrets(spec?.models.flatMap(({ apiKey }) => (apiKey ? [apiKey.secretKeyRef] : [])) ?? []),
  }
}

type Parsed = { readonly ref: ObjectRef; readonly resource: Resource }

const refOf = (kind: Kind, { metadata: { name, namespace } }: KubeObject): ObjectRef => ({ kind, name, namespace })

const itemIdOfRef = ({ kind, name }: ObjectRef): ItemId =>
  kind === 'AgentRuntime' ? SETTINGS_ID : itemIdOf(kind, name)

/** Whether an object belongs to a runtime; one that does not parse is judged by what it says as it stands. */
function concerns(object: KubeObject, runtime: string): boolean {
  if (!isKind(object.kind)) return false
  return object.kind === 'AgentRuntime' ? object.metadata.name === runtime : runtimeOf(object) === runtime
}

/** The runtime that an Agent, Team or Workflow names, whether or not the rest of it is valid. */
export function runtimeOf(object: KubeObject): string {
  const { spec } = object
  const named = typeof spec === 'object' && spec !== null && 'runtime' in spec ? spec.runtime : undefined
  return typeof named === 'string' ? named : 'default'
}

/** The resource, or each of its mistakes. */
function parse(object: KubeObject): readonly (Parsed | Refused)[] {
  const kind = object.kind as Kind
  const ref = refOf(kind, object)
  const result = resourceSchema(kind).safeParse(object)
  if (!result.success) return problemsOfIssues(result.error).map((problem) => ({ ref, problem }))
  // The schema of `kind` has just parsed the spec; TypeScript cannot carry the pairing through the union.
  return [{ ref, resource: { kind, name: ref.name, namespace: ref.namespace, spec: result.data.spec } as Resource }]
}

function compileResource(ref: ObjectRef, resource: Resource): CompiledItem {
  const definition = definitionOf(resource)
  return { ref, definition, revision: definitionRevision(definition) }
}

function definitionOf({ kind, name, spec }: Resource): Definition {
  switch (kind) {
    case 'AgentRuntime':
      return { kind: 'Settings', name, spec }
    case 'Agent':
      return { kind, name, spec }
    case 'Team':
      return { kind, name, spec }
    case 'Workflow':
      return { kind, name, spec }
  }
}

const uniqueSecrets = (refs: readonly SecretKeyRef[]): SecretKeyRef[] => [
  ...new Map(refs.map((ref) => [`${ref.name}/${ref.key}`, ref])).values(),
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
        ref: refOf(object.kind, object),
        problem: { reason: 'RuntimeNotFound', path: 'spec.runtime', message } as const,
      },
    ]
  })
}

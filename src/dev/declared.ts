import { API_VERSION, type ItemId, isKind, itemIdOf, type Problem } from '../api/index.ts'
import type { KubeObject } from '../kube/types.ts'
import { type Compiled, compile, type ObjectRef, runtimeOf, unplaced } from '../operator/index.ts'

/** What the manifests declare together, for the one runtime that a dev process is. */
export type Declared = {
  /** The AgentRuntime that is served. */
  readonly runtime: string
  readonly compiled: Compiled
  readonly problems: readonly { readonly ref: ObjectRef; readonly problem: Problem }[]
  /** Items that are declared but impossible: what served before goes on serving. */
  readonly held: ReadonlySet<ItemId>
}

/**
 * Compiles all objects. Served is the AgentRuntime `default`, else the first by name; the others are RuntimeNotServed.
 * Without any, one named `default` with empty settings stands in.
 */
export function declaredBy(objects: readonly KubeObject[]): Declared {
  const runtimes = objects.filter(({ kind }) => kind === 'AgentRuntime')
  const names = runtimes.map(({ metadata }) => metadata.name).sort()
  const runtime = names.includes('default') ? 'default' : (names[0] ?? 'default')
  const compiled = compile(names.length === 0 ? [...objects, emptyRuntime(runtime)] : objects, runtime)
  const orphans = unplaced(objects, new Set([runtime, ...names]))
  return {
    runtime,
    compiled,
    problems: [...compiled.problems, ...orphans, ...names.flatMap((name) => notServed(name, runtime, objects))],
    held: new Set([...compiled.held, ...orphans.map(({ ref }) => itemIdOfRef(ref))]),
  }
}

const emptyRuntime = (name: string): KubeObject => ({
  apiVersion: API_VERSION,
  kind: 'AgentRuntime',
  metadata: { name },
  spec: {},
})

export const itemIdOfRef = ({ kind, name }: ObjectRef): ItemId =>
  itemIdOf(kind === 'AgentRuntime' ? 'Settings' : kind, name)

function notServed(name: string, served: string, objects: readonly KubeObject[]): Declared['problems'] {
  if (name === served) return []
  const items = objects.filter((each) => isKind(each.kind) && each.kind !== 'AgentRuntime' && runtimeOf(each) === name)
  const message =
    `one process serves one AgentRuntime, here "${served}"; "${name}" and the ${items.length} resources that name it ` +
    'are not served'
  return [{ ref: { kind: 'AgentRuntime', name }, problem: { reason: 'RuntimeNotServed', message } }]
}

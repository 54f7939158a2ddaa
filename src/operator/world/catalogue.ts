import type { Kind } from '../../api/index.ts'
import { type KubeObject, keyOfName, type ObjectName } from '../../kube/types.ts'
import { compileObject, type Entry } from '../compile/compile.ts'
import { itemKey } from '../items/keys.ts'

/** An object and what it compiles to; `isGuarded`: it has the finalizer, so it may be placed. */
export type Declared = { readonly object: KubeObject; readonly entry: Entry; readonly isGuarded: boolean }

/** On every object that pods hold, so that it goes only when they have let go of it. */
export const FINALIZER = 'midflight.dev/registry'

/** What a change of an object means: which AgentRuntimes of its namespace it concerns, by name. */
export type Change = { readonly runtimes: ReadonlySet<string> }

/**
 * The objects of all kinds, each compiled once per version of its spec, by the AgentRuntime that they name. One that is
 * being deleted is declared no more: `get` still finds it, `of` does not.
 */
export interface Catalogue {
  /** @returns undefined when nothing changed that a runtime serves: another status, labels, a finalizer */
  put(object: KubeObject): Change | undefined
  remove(object: KubeObject): Change | undefined
  get(kind: Kind, name: ObjectName): Declared | undefined
  /** What is declared for an AgentRuntime, itself included. */
  of(runtime: ObjectName): Iterable<Declared>
  /** What is being deleted in a namespace. */
  leaving(namespace: string | undefined): Iterable<Declared>
  /** Changes whenever what `of` yields means something else to a runtime. */
  version(runtime: ObjectName): number
  /** Names of the AgentRuntimes of a namespace that something names, whether they exist or not. */
  named(namespace: string): Iterable<string>
}

export function createCatalogue(): Catalogue {
  const all = new Map<string, Declared>()
  /** By namespace, then by AgentRuntime, then by key. */
  const byRuntime = new Map<string, Map<string, Map<string, Declared>>>()
  /** By namespace, then by key. */
  const leaving = new Map<string, Map<string, Declared>>()

  const versions = new Map<string, number>()
  let lastVersion = 0
  const moved = (object: KubeObject, ...runtimes: readonly string[]): Change => {
    for (const runtime of runtimes) {
      const key = keyOfName({ namespace: object.metadata.namespace, name: runtime })
      lastVersion += 1
      if (isNamed(object, runtime)) versions.set(key, lastVersion)
      else versions.delete(key)
    }
    return { runtimes: new Set(runtimes) }
  }

  const isNamed = ({ metadata: { namespace = '' } }: KubeObject, runtime: string): boolean =>
    byRuntime.get(namespace)?.has(runtime) ?? false

  const groupOf = ({ metadata: { namespace = '' } }: KubeObject, runtime: string): Map<string, Declared> => {
    const runtimes = byRuntime.get(namespace) ?? new Map<string, Map<string, Declared>>()
    byRuntime.set(namespace, runtimes)
    const group = runtimes.get(runtime) ?? new Map<string, Declared>()
    runtimes.set(runtime, group)
    return group
  }
  const keyOfEntry = ({ ref: { kind, namespace, name } }: Entry): string => itemKey(kind, { namespace, name })

  const drop = ({ object, entry }: Declared): void => {
    const { namespace = '' } = object.metadata
    const group = groupOf(object, entry.runtime)
    group.delete(keyOfEntry(entry))
    if (group.size === 0) byRuntime.get(namespace)?.delete(entry.runtime)
    if (byRuntime.get(namespace)?.size === 0) byRuntime.delete(namespace)
    leaving.get(namespace)?.delete(keyOfEntry(entry))
    if (leaving.get(namespace)?.size === 0) leaving.delete(namespace)
  }
  const insert = (declared: Declared): void => {
    const { object, entry } = declared
    const { namespace = '' } = object.metadata
    if (!isLeaving(object)) groupOf(object, entry.runtime).set(keyOfEntry(entry), declared)
    else leaving.set(namespace, (leaving.get(namespace) ?? new Map()).set(keyOfEntry(entry), declared))
  }

  return {
    put: (object) => {
      const known = all.get(itemKey(object.kind as Kind, object.metadata))
      const entry = known && isSameVersion(known.object, object) ? known.entry : compileObject(object)
      if (entry === undefined) return undefined
      const declared = { object, entry, isGuarded: hasFinalizer(object) }
      if (known && !isSamePlace(known, declared)) drop(known)
      all.set(keyOfEntry(entry), declared)
      insert(declared)
      if (known?.entry === entry && isAlike(known, declared)) return undefined
      return moved(object, ...new Set([entry.runtime, ...(known ? [known.entry.runtime] : [])]))
    },
    remove: (object) => {
      const key = itemKey(object.kind as Kind, object.metadata)
      const known = all.get(key)
      if (known === undefined) return undefined
      drop(known)
      all.delete(key)
      return moved(object, known.entry.runtime)
    },
    get: (kind, name) => all.get(itemKey(kind, name)),
    of: ({ namespace = '', name }) => byRuntime.get(namespace)?.get(name)?.values() ?? [],
    leaving: (namespace = '') => leaving.get(namespace)?.values() ?? [],
    version: (runtime) => versions.get(keyOfName(runtime)) ?? 0,
    named: (namespace) => byRuntime.get(namespace)?.keys() ?? [],
  }
}

export const isLeaving = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp !== undefined

/** The API server raises `generation` with every change of the spec. */
const isSameVersion = (a: KubeObject, b: KubeObject): boolean =>
  a.metadata.uid === b.metadata.uid && a.metadata.generation === b.metadata.generation

/** Where it stands stays where it is in its order. */
const isSamePlace = (a: Declared, b: Declared): boolean =>
  a.entry.runtime === b.entry.runtime && isLeaving(a.object) === isLeaving(b.object)

const isAlike = (a: Declared, b: Declared): boolean =>
  isLeaving(a.object) === isLeaving(b.object) && a.isGuarded === b.isGuarded

export const hasFinalizer = ({ metadata: { finalizers = [] } }: KubeObject): boolean => finalizers.includes(FINALIZER)

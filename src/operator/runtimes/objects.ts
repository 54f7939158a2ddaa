import { type AgentRuntimeSpec, type Condition, type Problem, REASONS } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import {
  isApiError,
  type KubeClient,
  type KubeObject,
  keyOfName,
  nameOfKey,
  type ObjectKey,
  type ObjectName,
  type Outcome,
} from '../../kube/index.ts'
import {
  APPLIED,
  type Children,
  childrenOf,
  type Installation,
  type Intent,
  NO_CHILDREN,
  UNCHANGED,
} from './children.ts'
import { CHILD_KINDS, CHILD_TYPES, type ChildKind, childName } from './owned.ts'
import { problemOfRefusal } from './refusal.ts'
import { isAsWanted, type Step, stepOf } from './steps.ts'

/** An AgentRuntime as it is declared; `spec` is undefined while it cannot be read. */
export type DeclaredRuntime = {
  readonly object: KubeObject
  readonly spec: AgentRuntimeSpec | undefined
}

/** The objects of AgentRuntimes as the API server has them, and what was written of them. */
export interface ChildObjects {
  /** The one that has the operator's label. */
  get(kind: ChildKind, name: ObjectName): KubeObject | undefined
  wrote(kind: ChildKind, object: KubeObject): void
}

/** How far what has to be there before pods start is; it looks after itself. */
export type Prepared =
  | { readonly type: 'ready'; readonly lookAgainMs?: number | undefined }
  /** There is a call when it is known. */
  | { readonly type: 'loading' }
  | { readonly type: 'problem'; readonly problem: Problem; readonly lookAgainMs?: number | undefined }
  | { readonly type: 'failed'; readonly error: unknown }

export type RuntimeObjectsDeps = {
  readonly client: Pick<KubeClient, 'get' | 'patch' | 'delete'>
  /** Undefined: it is gone, or on its way out. */
  readonly declared: (name: ObjectName) => DeclaredRuntime | undefined
  readonly children: ChildObjects
  readonly installation: Installation
  /** Also while what is declared cannot be read: pods that there are have to be called. Must not reject. */
  readonly prepare: (declared: DeclaredRuntime, signal: AbortSignal) => Promise<Prepared>
  readonly clock: Pick<Clock, 'monotonic'>
  readonly record: (about: KubeObject, event: ObjectEvent) => void
  /** What is wrong has changed. */
  readonly onChange: (name: ObjectName) => void
}

export type ObjectEvent = {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly action: string
  readonly note: string
}

/** Under which the operator owns the fields that it applies. */
const FIELD_MANAGER = 'midflight'
/** What was refused is tried again after that time; so is what somebody else's object is in the way of. */
const AGAIN_MS = 30_000
const CONFLICT_MS = 200

type Refused = { readonly applied: string; readonly problem: Problem; readonly at: number }

type Taken = { readonly applied: string; readonly version: number | string | undefined }

/** What is known of one AgentRuntime besides what the API server has. */
type Memory = {
  problems: readonly Problem[]
  readonly refused: Map<ChildKind, Refused>
  /** Uids of what was deleted: the watch shows it a little longer. */
  readonly deleted: Map<ChildKind, string>
  /** Hashes of what the server did not take over to the letter, and what it made of it then. */
  readonly taken: Map<ChildKind, Taken>
}

/** What became of one step. */
type Done =
  | { readonly type: 'done' }
  | { readonly type: 'problem'; readonly problem: Problem; readonly afterMs: number | undefined }
  | { readonly type: 'again'; readonly afterMs: number }
  | { readonly type: 'failed'; readonly error: unknown }

const DONE: Done = { type: 'done' }
/** How much of a message is looked for in a status, which may hold a part of it. */
const TOLD_CHARS = 200

/** Keeps the objects that the pods of AgentRuntimes are made from: one reconcile brings those of one to what is declared. */
export class RuntimeObjects {
  readonly #deps: RuntimeObjectsDeps
  readonly #memories = new Map<ObjectKey, Memory>()

  constructor(deps: RuntimeObjectsDeps) {
    this.#deps = deps
  }

  /** Why an AgentRuntime's objects are not as declared. */
  problems(name: ObjectName): readonly Problem[] {
    return this.#memories.get(keyOfName(name))?.problems ?? []
  }

  async reconcile(key: ObjectKey, signal: AbortSignal): Promise<Outcome> {
    const name = nameOfKey(key)
    const declared = this.#deps.declared(name)
    if (declared === undefined) {
      this.#memories.delete(key)
      return { type: 'settled' }
    }
    const memory = this.#memories.get(key) ?? {
      problems: [],
      refused: new Map(),
      deleted: new Map(),
      taken: new Map(),
    }
    this.#memories.set(key, memory)
    const { object } = declared
    const prepared = await this.#deps.prepare(declared, signal)
    const { intents, problems } = this.#plan(declared, prepared, memory)
    const done: Done[] = [doneOf(prepared)]
    for (const kind of CHILD_KINDS) done.push(await this.#bring(kind, intents[kind], { object, memory }, signal))
    const told = done.flatMap((each) => (each.type === 'problem' ? [each.problem] : []))
    this.#tell(object, memory, [...problems, ...told])
    return outcomeOf(done)
  }

  #plan({ object, spec }: DeclaredRuntime, prepared: Prepared, memory: Memory): Children {
    if (spec === undefined) return UNCHANGED
    if (spec.adopt !== undefined) return NO_CHILDREN
    const present = this.#live('Deployment', object.metadata, memory)
    const { installation } = this.#deps
    const children = childrenOf({ runtime: runtimeOf(object), spec, installation, present })
    // A pod that waits for a Secret looks for it again only after up to two minutes.
    const mayStart = present !== undefined || prepared.type === 'ready'
    return mayStart ? children : { ...children, intents: { ...children.intents, Deployment: { type: 'keep' } } }
  }

  #live(kind: ChildKind, { namespace, name }: ObjectName, { deleted }: Memory): KubeObject | undefined {
    const live = this.#deps.children.get(kind, { namespace, name: childName(name) })
    if (live?.metadata.uid !== undefined && deleted.get(kind) === live.metadata.uid) return undefined
    deleted.delete(kind)
    return live
  }

  async #bring(kind: ChildKind, intent: Intent, about: About, signal: AbortSignal): Promise<Done> {
    const { memory } = about
    const applied = intent.type === 'apply' ? hashOf(intent.object) : ''
    const last = memory.refused.get(kind)
    const now = this.#deps.clock.monotonic()
    // What happens to the other objects is no reason to ask for the same again.
    if (last?.applied === applied && now - last.at < AGAIN_MS)
      return { type: 'problem', problem: last.problem, afterMs: last.at + AGAIN_MS - now }
    memory.refused.delete(kind)
    try {
      return await this.#take(kind, await this.#decide(kind, intent, about, signal), about, signal)
    } catch (error) {
      if (isApiError(error, 409)) return { type: 'again', afterMs: CONFLICT_MS }
      const problem = isApiError(error) ? problemOfRefusal(error, kind) : undefined
      if (problem === undefined) return { type: 'failed', error }
      memory.refused.set(kind, { applied, problem, at: now })
      return { type: 'problem', problem, afterMs: AGAIN_MS }
    }
  }

  /** What the watch does not show may be somebody else's, without the label. */
  async #decide(kind: ChildKind, intent: Intent, { object, memory }: About, signal: AbortSignal): Promise<Step> {
    const owner = runtimeOf(object)
    const shown = this.#live(kind, object.metadata, memory)
    if (intent.type !== 'apply') return stepOf(intent, shown, owner)
    if (shown !== undefined) {
      const isTaken = isTakenAs(shown, intent.object, memory.taken.get(kind))
      return isTaken ? { type: 'none' } : stepOf(intent, shown, owner)
    }
    const name = { namespace: owner.namespace, name: childName(owner.name) }
    return stepOf(intent, await this.#deps.client.get(CHILD_TYPES[kind], name, signal), owner)
  }

  async #take(kind: ChildKind, step: Step, about: About, signal: AbortSignal): Promise<Done> {
    switch (step.type) {
      case 'none':
        return DONE
      case 'blocked':
        return { type: 'problem', problem: step.problem, afterMs: AGAIN_MS }
      case 'delete':
        await this.#delete(kind, step.uid, about, signal)
        return DONE
      case 'apply':
        await this.#apply(kind, step, about, signal)
        return DONE
    }
  }

  async #apply(
    kind: ChildKind,
    step: Extract<Step, { type: 'apply' }>,
    { object, memory }: About,
    signal: AbortSignal,
  ) {
    const { client, children, record } = this.#deps
    const { uid, object: wanted } = step
    const { namespace, name } = wanted.metadata
    const body = uid === undefined ? wanted : { ...wanted, metadata: { ...wanted.metadata, uid } }
    // What another one makes meanwhile under that name must not be taken over.
    const patch = { type: 'apply', body, fieldManager: FIELD_MANAGER, force: uid !== undefined } as const
    const answer = await client.patch(CHILD_TYPES[kind], { namespace, name }, patch, signal)
    children.wrote(kind, answer)
    if (isAsWanted(answer, wanted)) memory.taken.delete(kind)
    else memory.taken.set(kind, { applied: hashOf(wanted), version: versionOf(answer) })
    const [reason, verb] = uid === undefined ? ['Created', 'created'] : ['Updated', 'brought to what is declared']
    record(object, { type: 'Normal', reason, action: 'Apply', note: `${kind} "${name}" was ${verb}` })
  }

  async #delete(kind: ChildKind, uid: string, { object, memory }: About, signal: AbortSignal): Promise<void> {
    const { client, record } = this.#deps
    const { namespace } = object.metadata
    const name = childName(object.metadata.name)
    await client.delete(CHILD_TYPES[kind], { namespace, name }, { uid }, signal)
    memory.deleted.set(kind, uid)
    const note = `${kind} "${name}" was deleted: it is not needed any more`
    record(object, { type: 'Normal', reason: 'Deleted', action: 'Delete', note })
  }

  #tell(object: KubeObject, memory: Memory, problems: readonly Problem[]): void {
    if (JSON.stringify(problems) === JSON.stringify(memory.problems)) return
    const known = new Set(memory.problems.map(({ message }) => message))
    memory.problems = problems
    for (const { reason, message } of problems) {
      // What stalls is told of with the status; a restart repeats nothing.
      if (!REASONS[reason].retry || known.has(message) || isToldIn(object, message)) continue
      this.#deps.record(object, { type: 'Warning', reason, action: 'Apply', note: message })
    }
    this.#deps.onChange(object.metadata)
  }
}

/** The AgentRuntime, and what is known of it. */
type About = { readonly object: KubeObject; readonly memory: Memory }

const runtimeOf = ({ metadata: { namespace = '', name, uid = '' } }: KubeObject) => ({ namespace, name, uid })

const hashOf = ({ metadata }: KubeObject): string => metadata.annotations?.[APPLIED] ?? ''

/** Whether the server shows, in its own words, what it made of this: to write it again would change nothing. */
const isTakenAs = (live: KubeObject, wanted: KubeObject, taken: Taken | undefined): boolean =>
  taken !== undefined && taken.applied === hashOf(wanted) && taken.version === versionOf(live)

/** Changes with what is declared of an object; where nothing else tells, with anything of it. */
const versionOf = ({ metadata }: KubeObject): number | string | undefined =>
  metadata.generation ?? metadata.resourceVersion

/** Whether the status says so already. */
function isToldIn({ status }: KubeObject, message: string): boolean {
  const conditions = (status as { readonly conditions?: readonly Condition[] } | undefined)?.conditions ?? []
  return conditions.some((condition) => condition.message.includes(message.slice(0, TOLD_CHARS)))
}

/** The first failure decides, then whatever is due first. */
function outcomeOf(done: readonly Done[]): Outcome {
  const failed = done.find((each) => each.type === 'failed')
  if (failed) return { type: 'retry', error: failed.error }
  const times = done.flatMap((each) => ('afterMs' in each && each.afterMs !== undefined ? [each.afterMs] : []))
  return times.length === 0 ? { type: 'settled' } : { type: 'requeue', afterMs: Math.min(...times) }
}

function doneOf(prepared: Prepared): Done {
  switch (prepared.type) {
    case 'loading':
      return { type: 'done' }
    case 'ready':
      return prepared.lookAgainMs === undefined ? DONE : { type: 'again', afterMs: prepared.lookAgainMs }
    case 'problem':
      return { type: 'problem', problem: prepared.problem, afterMs: prepared.lookAgainMs }
    case 'failed':
      return prepared
  }
}

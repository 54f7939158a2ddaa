import { type ApplyRequest, type ApplyResponse, type Problem, problemOf, SETTINGS_ID } from '../../api/index.ts'
import { abandonOnAbort, type Clock, type Linked, linkedTo } from '../../clock.ts'
import { parseClaim } from '../place/claims.ts'
import type { Desired, PodFailure, PodState, Verdict } from '../ports.ts'
import { firstChunk } from '../sync/chunks.ts'
import { type Difference, difference } from '../sync/difference.ts'
import { bundleUnit } from '../unit-id.ts'
import { faultAfter, type PodEntry } from './pods.ts'

/** Longest wait for the answer to a check, in milliseconds: who takes longer counts as unreachable. */
export const CHECK_MS = 2_000
/** Longest wait for the answer to a call that activates: a runtime takes up to 10 s to load a bundle. */
const ACTIVATE_MS = 15_000

/** What stands between a pod and an apply. */
export type Obstacle =
  | { readonly type: 'none' }
  /** Another AgentRuntime's claim that is void: it has to be given up first. */
  | { readonly type: 'voidClaim'; readonly claim: string }
  | { readonly type: 'fault'; readonly problem: Problem }

/** Pure. @param isVoid whether a claim of this namespace belongs to no AgentRuntime that may have this pod */
export function obstacleOf(
  state: PodState,
  { fence, claim }: Pick<Desired, 'fence' | 'claim'>,
  isVoid: (uid: string, namespace: string) => boolean,
): Obstacle {
  if (state.fence > fence) {
    const message = `the pod has seen fence ${state.fence}, this operator has ${fence}: another operator is newer, or etcd was restored from a backup (then restart the runtime's pods)`
    return { type: 'fault', problem: { reason: 'FenceAhead', message } }
  }
  const { claimedBy } = state
  if (claimedBy === undefined || claimedBy === claim) return { type: 'none' }
  const other = parseClaim(claimedBy)
  if (other && isVoid(other.uid, other.namespace)) return { type: 'voidClaim', claim: claimedBy }
  return {
    type: 'fault',
    problem: {
      reason: 'Claimed',
      message: `the pod is claimed by ${claimedBy}: delete that AgentRuntime, or restart the pod`,
    },
  }
}

/** Ids with revisions, of items and bundles, that a difference brings. */
export function unitsOf({ items, bundles }: Difference): (readonly [string, string])[] {
  return [
    ...Object.entries(items).map(([id, { revision }]) => [id, revision] as const),
    ...Object.entries(bundles).map(([name, { hash }]) => [bundleUnit(name), hash] as const),
  ]
}

/** A pod on which nothing of the operator's serves, or that was never given the whole: it is on its way in. */
export function isNew({ items, complete }: PodState): boolean {
  if (!complete) return true
  for (const { owner, active } of items.values())
    if (owner === 'operator' && active !== undefined) return items.size <= 1
  return true
}

/** Refusals that a check on several pods found, by unit. */
export function verdictsOf(
  answers: readonly Pick<PodAnswer, 'pod' | 'responses'>[],
  asked: ReadonlyMap<string, string>,
): Map<string, Verdict> {
  const failures = new Map<string, PodFailure[]>()
  for (const { pod, responses } of answers)
    for (const [unit, { outcome, error }] of responses.flatMap(resultsOf)) {
      if (outcome !== 'rejected' || error === undefined) continue
      const found = failures.get(unit) ?? []
      if (found.at(-1)?.pod !== pod) failures.set(unit, [...found, { pod, ...error }])
    }
  return new Map(
    [...failures].flatMap(([unit, found]) => {
      const revision = asked.get(unit)
      return revision === undefined ? [] : [[unit, { revision, failures: found }] as const]
    }),
  )
}

const resultsOf = ({ items, bundles }: ApplyResponse) => [
  ...Object.entries(items),
  ...Object.entries(bundles).map(([name, result]) => [bundleUnit(name), result] as const),
]

/** Runs a task when not too many others of the operator do. */
export type InTurn = (task: () => Promise<void>) => Promise<void>

export type CallDeps = { readonly clock: Clock; readonly signal: AbortSignal }

/** A signal that aborts with another one, or with a TimeoutError after so many milliseconds, until it is released. */
export function deadline({ clock, signal }: CallDeps, ms: number): Pick<Linked, 'signal' | 'release'> {
  const linked = linkedTo(signal)
  const timer = clock.timer(ms, () => linked.abort(new DOMException('it took too long', 'TimeoutError')))
  const release = () => {
    timer.cancel()
    linked.release()
  }
  return { signal: linked.signal, release }
}

const isPaused = ({ fault }: PodEntry, clock: Clock): boolean =>
  fault !== undefined && fault.retryAt > clock.monotonic()

/** What a pod said would become of a difference. */
export type PodAnswer = {
  readonly pod: string
  readonly whole: Difference
  readonly responses: readonly ApplyResponse[]
}

/**
 * Asks a pod what would become of what it lacks once nothing is under way, a call after the other. Undefined when there
 * is nothing to ask then, and when it does not answer in time.
 */
export async function checkPod(
  entry: PodEntry,
  desired: Desired,
  lacking: () => Difference | undefined,
  deps: CallDeps,
): Promise<PodAnswer | undefined> {
  const responses: ApplyResponse[] = []
  const { signal, release } = deadline(deps, CHECK_MS)
  try {
    if (entry.activation !== undefined) await abandonOnAbort(entry.activation, signal)
    // What was waited for may have failed: then the pod has its pause like any that fails.
    const whole = isPaused(entry, deps.clock) ? undefined : lacking()
    if (whole === undefined) return undefined
    for (const part of partsOf(whole)) {
      responses.push(await entry.connection.apply(requestOf(desired, part, 'check'), signal))
    }
    return { pod: entry.name, whole, responses }
  } catch (error) {
    faultOn(entry, error, deps)
    return undefined
  } finally {
    release()
  }
}

/** The calls of a check, which leave nothing behind: each brings the settings, which decide what becomes of the rest. */
function* partsOf(whole: Difference): Generator<Difference> {
  let rest = whole
  for (;;) {
    const { part, isLast } = firstChunk(rest)
    yield part
    if (isLast) return
    const { [SETTINGS_ID]: settings } = rest.items
    const items = { ...(settings && { [SETTINGS_ID]: settings }), ...without(rest.items, part.items) }
    rest = { ...rest, items, bundles: without(rest.bundles, part.bundles) }
  }
}

const without = <T>(record: Readonly<Record<string, T>>, taken: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).filter(([key]) => !Object.hasOwn(taken, key)))

/** Starts one call that brings a pod nearer to what is desired; the entry's difference is computed again when it ends. */
export function activatePod(entry: PodEntry, desired: Desired, whole: Difference, call: Call): void {
  const { part, isLast } = firstChunk(whole)
  const request = requestOf(desired, part, 'activate')
  // A runtime always has settings: it does not count them while they are what it began with.
  const expected = desired.items.size - Number(desired.items.has(SETTINGS_ID))
  const last = isLast && desired.isWhole ? { complete: { expected } } : {}
  // It is made anew when the call has ended: for thousands of items it is large.
  entry.difference = undefined
  entry.activation = settle(entry, { ...request, ...last }, call)
}

const NOTHING: Difference = { items: {}, bundles: {}, secrets: {}, remove: { items: [], bundles: [], secrets: [] } }

type Signature = Pick<Desired, 'fence' | 'claim'>
export type Call = CallDeps & { readonly onEnd: () => void; readonly inTurn: InTurn }

/** Shows a pod that a newer operator writes, before anything else. */
export function raiseFence(entry: PodEntry, { fence, claim }: Signature, call: Call): void {
  entry.activation = settle(entry, { fence, claim, mode: 'activate', ...NOTHING }, call)
}

/**
 * Gives up a claim that is void, in its own name. What an AgentRuntime of another name has left in the pod, and is not
 * wanted here, goes with it.
 */
export function releaseClaim(entry: PodEntry, desired: Desired, claim: string, call: Call): void {
  const { state } = entry.connection
  const isRenewed = parseClaim(claim)?.name === parseClaim(desired.claim)?.name
  const items = state === undefined || isRenewed ? [] : difference(state, desired).remove.items
  const remove = { ...NOTHING.remove, items }
  const { fence } = desired
  entry.activation = settle(entry, { fence, claim, mode: 'activate', release: true, ...NOTHING, remove }, call)
}

/** Takes everything of the operator's out of a pod, but for its settings, and gives the claim up. */
export function releaseAll(entry: PodEntry, { fence, claim }: Signature, state: PodState, call: Call): void {
  const nothing: Desired = {
    owner: 'operator',
    fence,
    claim,
    items: new Map(),
    held: new Set(),
    bundles: new Map(),
    kept: new Set(),
    pins: new Map(),
    secrets: new Map(),
    keptSecrets: new Set(),
    isWhole: true,
  }
  entry.activation = settle(
    entry,
    { fence, claim, mode: 'activate', release: true, ...difference(state, nothing) },
    call,
  )
}

/** Items from which on a call is large. */
const LARGE_ITEMS = 50

/** Small calls go at once; large ones take turns. */
function settle(entry: PodEntry, request: Omit<ApplyRequest, 'target'>, call: Call): Promise<void> {
  const isLarge = Object.keys(request.items).length >= LARGE_ITEMS || Object.keys(request.bundles).length > 0
  return isLarge ? call.inTurn(() => send(entry, request, call)) : send(entry, request, call)
}

async function send(
  entry: PodEntry,
  request: Omit<ApplyRequest, 'target'>,
  { clock, signal, onEnd }: Call,
): Promise<void> {
  const limit = deadline({ clock, signal }, ACTIVATE_MS)
  try {
    await entry.connection.apply(request, limit.signal)
    entry.fault = undefined
  } catch (error) {
    faultOn(entry, error, { clock, signal })
  } finally {
    limit.release()
    entry.activation = undefined
    entry.difference = undefined
    onEnd()
  }
}

function faultOn(entry: PodEntry, error: unknown, { clock, signal }: CallDeps): void {
  if (signal.aborted) return
  const problem = isTimeout(error) ? SLOW : problemOf(error, 'RuntimeUnreachable')
  entry.difference = undefined
  // Another process answers there, or its claim or fence moved: its state tells more than the error.
  entry.connection.refresh()
  if (problem.reason !== 'WrongTarget') entry.fault = faultAfter(entry.fault, problem, clock.monotonic())
}

const SLOW: Problem = { reason: 'RuntimeUnreachable', message: 'the pod answers its state, but no apply in time' }

const isTimeout = (error: unknown): boolean => error instanceof DOMException && error.name === 'TimeoutError'

const requestOf = (
  { fence, claim }: Desired,
  part: Difference,
  mode: ApplyRequest['mode'],
): Omit<ApplyRequest, 'target'> => ({
  fence,
  claim,
  mode,
  ...part,
})

/** Whether a pod still has to be told, besides a difference, that a newer operator writes or that the sync is whole. */
export const mustHear = (state: PodState, desired: Desired): boolean =>
  state.fence < desired.fence || state.claimedBy === undefined || (!state.complete && desired.isWhole)

import type { AdoptSpec, Incident, Problem } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import type { KubeObject, ObjectName } from '../../kube/types.ts'
import type { PodChange, PodConnection, PodConnectionOptions } from '../pods/index.ts'
import type { PodLink, PodView, RuntimeTarget } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'
import { includesTrust, type RunBy, type TlsTrust } from '../target/index.ts'
import { managedServerName, type TokenChoice } from '../trust/index.ts'

/** A pod that did not do what it was told: it is left alone until `retryAt`, on the clock's monotonic reading. */
export type Fault = { readonly problem: Problem; readonly attempts: number; readonly retryAt: number }

/** A pod of a unit: what Kubernetes says of it, the connection to it, and what it has to be told. */
export type PodEntry = {
  readonly name: string
  readonly uid: string
  readonly connection: PodConnection
  /** When its first state began to be waited for, on the clock's monotonic reading. */
  awaitedFrom: number
  isReady: boolean
  /** Whether its state was complete when it was last looked at: only then it counts. */
  isComplete: boolean
  /** Undefined when it has to be computed again. */
  difference: Difference | undefined
  /** True while the pod held what it should, so that a difference that comes of itself is a drift. */
  isInSync: boolean
  /** An apply that activates, under way. */
  activation: Promise<void> | undefined
  fault: Fault | undefined
  readonly stop: () => void
}

/** Where the management API of a pod is, and what it takes to call it. */
export type PodAddress = {
  readonly host: string
  readonly port: number
  readonly runBy: RunBy
  /** Latest each time it is asked for. */
  readonly tokens: TokenChoice
  /** Absent: over HTTP. */
  readonly tls: TlsTrust | undefined
}

/** A pod's address, whose tokens and certificate authorities are those of now. */
export type Reach = Pick<PodAddress, 'host' | 'port' | 'runBy'> & {
  readonly tokens: () => readonly string[]
  readonly tls: (() => TlsTrust) | undefined
}

/** Who is told of a pod. */
export type PodListener = Required<Pick<PodConnectionOptions, 'onChange' | 'onIncident'>>

export type PodsDeps = {
  readonly connect: (
    pod: { readonly name: string; readonly uid: string },
    target: RuntimeTarget & { close(): void },
    told: PodListener,
    signal: AbortSignal,
  ) => PodConnection
  readonly reach: (to: Reach) => RuntimeTarget & { close(): void }
  readonly clock: Clock
  readonly onChange: (entry: PodEntry, change: PodChange) => void
  readonly onIncident: (entry: PodEntry, incident: Incident) => void
}

/** Longest wait for the first state of a pod: who takes longer counts as unreachable. */
const FIRST_STATE_MS = 2_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000

/** The fault after one more: the pause doubles from half a second to 30 s. */
export function faultAfter(before: Fault | undefined, problem: Problem, now: number): Fault {
  const attempts = (before?.attempts ?? 0) + 1
  const pause = Math.min(FIRST_PAUSE_MS * 2 ** (attempts - 1), LONGEST_PAUSE_MS)
  return { problem, attempts, retryAt: now + pause }
}

/** A pod whose address is known and that is not on its way out. */
export function podAddressOf(pod: KubeObject): string | undefined {
  const { status } = pod
  if (pod.metadata.deletionTimestamp !== undefined || !isRecord(status)) return undefined
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return undefined
  return typeof status.podIP === 'string' && status.podIP !== '' ? status.podIP : undefined
}

/** Kubernetes' condition Ready. */
export function isPodReady({ status }: KubeObject): boolean {
  const conditions = isRecord(status) && Array.isArray(status.conditions) ? status.conditions : []
  return conditions.some((each: unknown) => isRecord(each) && each.type === 'Ready' && each.status === 'True')
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

export const serverNameOf = (name: ObjectName, adopt: AdoptSpec): string => adopt.serverName ?? managedServerName(name)

/** A pod and how it is called; undefined while what that takes is not there. */
type Reached = { readonly pod: KubeObject; readonly address: PodAddress | undefined }

/** An entry, and its address: tokens and certificate authorities that change are used from the next call on. */
type Kept = PodEntry & { address: PodAddress }

/** Keeps an entry with a connection for each pod, and ends those of pods that are gone or moved to another address. */
export class Pods {
  readonly #entries = new Map<string, Kept>()
  /** The entries, as long as they are the same. */
  #list: readonly PodEntry[] | undefined
  readonly #deps: PodsDeps
  readonly #signal: AbortSignal

  constructor(deps: PodsDeps, signal: AbortSignal) {
    this.#deps = deps
    this.#signal = signal
  }

  get entries(): readonly PodEntry[] {
    this.#list ??= [...this.#entries.values()]
    return this.#list
  }

  /** Whether some pod is Ready and has been given everything. */
  get isAnyCounted(): boolean {
    for (const { isReady, isComplete } of this.#entries.values()) if (isReady && isComplete) return true
    return false
  }

  /** How long a pod that was found a moment ago may still take to tell its state, in milliseconds; 0: none is waited for. */
  get awaitedMs(): number {
    const now = this.#deps.clock.monotonic()
    let longest = 0
    for (const { connection, awaitedFrom } of this.#entries.values())
      if (connection.link.type === 'connecting') longest = Math.max(longest, awaitedFrom + FIRST_STATE_MS - now)
    return longest
  }

  /**
   * @param addressOf undefined while what it takes to call a pod is not there: those that are connected stay so
   * @returns whether the set of pods, or what Kubernetes says of one, changed
   */
  follow(pods: readonly KubeObject[], addressOf: ((host: string) => PodAddress) | undefined): boolean {
    const wanted = new Map<string, Reached>()
    for (const pod of pods) {
      const host = podAddressOf(pod)
      if (host !== undefined) wanted.set(pod.metadata.uid ?? pod.metadata.name, { pod, address: addressOf?.(host) })
    }
    this.#list = undefined
    let changed = this.#endOthers(wanted)
    for (const [uid, { pod, address }] of wanted) {
      const entry = this.#entries.get(uid)
      const isReady = isPodReady(pod)
      if (entry ? entry.isReady === isReady : address === undefined) continue
      changed = true
      if (entry) this.#turn(entry, isReady)
      else if (address) this.#entries.set(uid, this.#start({ name: pod.metadata.name, uid }, isReady, address))
    }
    return changed
  }

  /**
   * A pod that Kubernetes calls Ready before it told its state is asked at once: it may not have listened a moment ago,
   * and callers reach it from now on.
   */
  #turn(entry: Kept, isReady: boolean): void {
    entry.isReady = isReady
    if (!isReady || entry.connection.state !== undefined) return
    entry.awaitedFrom = this.#deps.clock.monotonic()
    entry.connection.askAnew()
  }

  #endOthers(wanted: ReadonlyMap<string, Reached>): boolean {
    let changed = false
    for (const [uid, entry] of this.#entries) {
      const there = wanted.get(uid)
      if (there && (!there.address || takeAddress(entry, there.address))) continue
      entry.stop()
      this.#entries.delete(uid)
      changed = true
    }
    return changed
  }

  #start(pod: { readonly name: string; readonly uid: string }, isReady: boolean, address: PodAddress) {
    const stop = new AbortController()
    const signal = AbortSignal.any([this.#signal, stop.signal])
    const { host, port, runBy, tls } = address
    /** Undefined as long as the target and the connection are made. */
    let started: Kept | undefined
    const target = this.#deps.reach({
      host,
      port,
      runBy,
      tokens: () => (started?.address ?? address).tokens(started && acceptedBy(started.connection)),
      tls: tls && (() => started?.address.tls ?? tls),
    })
    const told: PodListener = {
      onChange: (change) => this.#deps.onChange(entry, change),
      onIncident: (incident) => this.#deps.onIncident(entry, incident),
    }
    const connection = this.#deps.connect(pod, target, told, signal)
    const entry: Kept = {
      ...pod,
      address,
      connection,
      awaitedFrom: this.#deps.clock.monotonic(),
      isReady,
      isComplete: false,
      difference: undefined,
      isInSync: false,
      activation: undefined,
      fault: undefined,
      stop: () => {
        stop.abort()
        target.close()
      },
    }
    started = entry
    return entry
  }
}

/** What a pod said of the tokens that it accepts; what it said before it was lost may be long over. */
const acceptedBy = ({ link, state }: PodConnection): readonly string[] | undefined =>
  link.type === 'reachable' ? state?.credentials?.tokenIds : undefined

/**
 * Goes on with an address that differs in tokens and certificate authorities only. A pod is asked again at once whether
 * it is trusted still.
 * @returns false when it is another address, or what somebody else's pod said is worth nothing to those trusted now
 */
function takeAddress(entry: Kept, address: PodAddress): boolean {
  const { host, port, tls } = entry.address
  if (host !== address.host || port !== address.port || !staysTrusted(tls, address)) return false
  entry.address = address
  if (tls?.ca !== address.tls?.ca || tls?.serverName !== address.tls?.serverName) entry.connection.refresh()
  return true
}

/** The operator's own pods are shown by its own authorities, of which the older ones go when nothing hangs on them. */
function staysTrusted(before: TlsTrust | undefined, { tls: now, runBy }: PodAddress): boolean {
  if (before === undefined || now === undefined) return before === now
  return runBy === 'operator' || includesTrust(now, before)
}

/** A pod that does not answer is told by that; what it failed at before says less. */
export function viewOf({ name, uid, isReady, connection, fault }: PodEntry): PodView {
  const link: PodLink =
    fault && connection.link.type === 'reachable' ? { type: 'unreachable', problem: fault.problem } : connection.link
  return { name, uid, isReady, link, state: connection.state }
}

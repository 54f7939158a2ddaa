import { setImmediate } from 'node:timers/promises'
import { type Clock, linkedTo, sleep, systemClock, type Timer } from '../../clock.ts'
import type { WatchClient } from '../client.ts'
import type { WatchMetrics } from '../metrics/watch.ts'
import { unanswered } from '../transport/failure.ts'
import { type KubeObject, keyOf, type ObjectSink, type ResourceType } from '../types.ts'
import { type LineEvent, parseEvent } from './events.ts'
import { createLineSplitter } from './lines.ts'
import {
  type Failure,
  failureOfError,
  IDLE,
  initialWatcher,
  type Observation,
  type State,
  transition,
} from './state.ts'

export type WatchObjectsOptions = {
  readonly client: WatchClient
  readonly type: ResourceType
  readonly sink: ObjectSink
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
  /** Only `metadata` is fetched. */
  readonly metadataOnly?: boolean | undefined
  readonly metrics?: WatchMetrics | undefined
  readonly clock?: Clock
  /** From 0 to below 1. */
  readonly random?: () => number
  /** Told each state as it begins; to be quick. */
  readonly onState?: ((state: State) => void) | undefined
}

// client-go's: at random, so that not all watches end at once.
const MIN_TIMEOUT_SECONDS = 300
const MAX_TIMEOUT_SECONDS = 600
/** What the server may be late in ending a watch. */
const GRACE_MS = 5000
/** How long a server may be silent while it sends what is there. */
const SYNC_SILENCE_MS = 60_000
/** How long events are handled before timers and requests have their turn. */
const SLICE_MS = 8

/**
 * Keeps a sink in step with the API server until the signal aborts, whatever the server does; resolves then, and never
 * rejects. Every object gets to the sink in its latest state, and every one that is gone is removed; states in between
 * may be missing, and one may come twice. `managedFields` are left out.
 */
export async function watchObjects(options: WatchObjectsOptions, signal: AbortSignal): Promise<void> {
  const { type, metrics, sink, onState, random = Math.random } = options
  const context = { ...options, random, clock: options.clock ?? systemClock }
  metrics?.started(type.kind)
  let watcher = initialWatcher
  const enter = (state: State) => {
    onState?.(state)
    if (state.type === 'listing' || state.type === 'syncing') metrics?.relisted(type.kind, state.because)
    if (state.type === 'backingOff' && state.isGone) sink.replace([], '')
  }
  enter(watcher.state)
  while (!signal.aborted) {
    for await (const seen of perform(context, watcher.state, signal)) {
      if (seen.type === 'ended') metrics?.restarted(type.kind, seen.failure.type)
      watcher = transition(watcher, seen, random())
      enter(watcher.state)
    }
  }
}

type Context = WatchObjectsOptions & { readonly clock: Clock; readonly random: () => number }

/** Does what a state is about. Yields nothing more when the signal has aborted. */
async function* perform(context: Context, state: State, signal: AbortSignal): AsyncGenerator<Observation> {
  switch (state.type) {
    case 'listing':
      return yield* list(context, signal)
    case 'syncing':
      return yield* stream(context, undefined, signal)
    case 'watching':
      return yield* stream(context, state.resourceVersion, signal)
    case 'backingOff': {
      const isOver = await sleep(context.clock, state.delayMs, signal).then(
        () => true,
        () => false,
      )
      if (isOver) yield { type: 'waited' }
    }
  }
}

async function* list({ client, type, sink, ...selection }: Context, signal: AbortSignal): AsyncGenerator<Observation> {
  try {
    const { items, resourceVersion } = await client.list(type, selection, signal)
    sink.replace(items, resourceVersion)
    yield { type: 'listed', resourceVersion }
  } catch (error) {
    if (signal.aborted) return
    yield { type: 'ended', failure: failureOfError(error, false), resourceVersion: undefined, healthyMs: 0 }
  }
}

/** One watch. @param resourceVersion to go on from; undefined for all objects there are first */
async function* stream(
  context: Context,
  resourceVersion: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<Observation> {
  const { client, type, clock, random, namespace, labelSelector, fieldSelector, metadataOnly } = context
  const range = MAX_TIMEOUT_SECONDS - MIN_TIMEOUT_SECONDS + 1
  const timeoutSeconds = MIN_TIMEOUT_SECONDS + Math.floor(random() * range)
  const position = createPosition(context, resourceVersion)
  const linked = linkedTo(signal)
  const guard = createGuard(clock, linked.abort)
  let openedAt: number | undefined
  let failure: Failure = { type: 'closed', message: 'the API server ended the watch' }
  try {
    const request = { namespace, labelSelector, fieldSelector, metadataOnly, timeoutSeconds, resourceVersion }
    const chunks = await client.watch(type, request, linked.signal)
    openedAt = clock.monotonic()
    guard.set(resourceVersion === undefined ? SYNC_SILENCE_MS : timeoutSeconds * 1000 + GRACE_MS)
    for await (const event of eventsOf(chunks, type)) {
      if (position.isListing()) guard.refresh()
      if (!position.apply(event)) continue
      guard.set(timeoutSeconds * 1000 + GRACE_MS)
      yield { type: 'listed', resourceVersion: position.resourceVersion() ?? '' }
    }
  } catch (error) {
    if (signal.aborted) return
    failure = failureOfError(error, position.isListing())
  } finally {
    guard.cancel()
    linked.release()
  }
  const healthyMs = openedAt === undefined ? 0 : clock.monotonic() - openedAt
  yield { type: 'ended', failure, resourceVersion: position.resourceVersion(), healthyMs }
}

/** How far a watch has come, and what it does to the sink. */
type Position = {
  /** Of the last thing that the sink knows; undefined as long as the list is not complete. */
  resourceVersion(): string | undefined
  isListing(): boolean
  /** True when the event ended the list. @throws ApiError for an error that the server sent */
  apply(event: LineEvent): boolean
}

function createPosition({ sink, type, metrics, clock }: Context, from: string | undefined): Position {
  let at = from
  const initial = new Map<string, KubeObject>()
  const collect = (event: Exclude<LineEvent, { type: 'ERROR' }>): boolean => {
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        initial.set(keyOf(event.object), event.object)
        return false
      case 'DELETED':
        initial.delete(keyOf(event.object))
        return false
      case 'BOOKMARK':
        if (!event.endsList) return false
        sink.replace([...initial.values()], event.resourceVersion)
        initial.clear()
        at = event.resourceVersion
        return true
    }
  }
  return {
    resourceVersion: () => at,
    isListing: () => at === undefined,
    apply: (event) => {
      metrics?.event(type.kind, event.type, clock.now())
      if (event.type === 'ERROR') throw event.error
      if (at === undefined) return collect(event)
      if (event.type === 'DELETED') sink.remove(event.object)
      else if (event.type !== 'BOOKMARK') sink.upsert(event.object)
      // Not before the sink has it: what it did not take comes again.
      at = event.resourceVersion
      return false
    },
  }
}

async function* eventsOf(chunks: AsyncIterable<Uint8Array>, type: ResourceType): AsyncGenerator<LineEvent> {
  const splitter = createLineSplitter()
  let sliceFrom = performance.now()
  for await (const chunk of chunks) {
    for (const line of splitter.push(chunk)) {
      yield parseEvent(line, type)
      if (performance.now() - sliceFrom < SLICE_MS) continue
      await setImmediate()
      sliceFrom = performance.now()
    }
  }
  splitter.end()
}

/** A time limit that can be moved. */
type Guard = { set(ms: number): void; refresh(): void; cancel(): void }

function createGuard(clock: Clock, abort: (reason: unknown) => void): Guard {
  let timer: Timer | undefined
  return {
    set: (ms) => {
      timer?.cancel()
      timer = clock.timer(ms, () => abort(unanswered(IDLE, `the API server neither sent nor ended for ${ms} ms`)))
    },
    refresh: () => timer?.refresh(),
    cancel: () => timer?.cancel(),
  }
}

import type { Clock } from '../../clock.ts'
import type { WatchState } from '../../kube/index.ts'
import type { Log } from '../../log.ts'

/** For `onState` of a watch: what it is of, by its kind, and its namespace unless it is of all. */
export type WatchLog = (kind: string, namespace: string | undefined) => (state: WatchState) => void

export type WatchLogOptions = { readonly log: Pick<Log, 'info' | 'warn'>; readonly clock: Clock }

/** The same obstacle is told that often at most, in milliseconds, however many watches it stops. */
const AGAIN_MS = 60_000

/** Tells in the log what keeps watches from reading, and when they read again. */
export function createWatchLog({ log, clock }: WatchLogOptions): WatchLog {
  const toldAt = new Map<string, number>()

  return (kind, namespace) => {
    const of = { kind, ...(namespace === undefined ? {} : { namespace }) }
    let current: string | undefined
    const meet = ({ key, message, cause }: Obstacle): void => {
      current = key
      const now = clock.monotonic()
      if (now - (toldAt.get(key) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) return
      toldAt.set(key, now)
      log.warn(message, { ...of, cause })
    }
    return (state) => {
      const obstacle = obstacleOf(state, kind, namespace)
      if (obstacle !== undefined) meet(obstacle)
      else if (state.type === 'watching' && current !== undefined) {
        if (toldAt.delete(current)) log.info('the API server is read again', of)
        current = undefined
      }
    }
  }
}

/** `key`: what is one obstacle to all watches. */
type Obstacle = { readonly key: string; readonly message: string; readonly cause: string }

function obstacleOf(state: WatchState, kind: string, namespace: string | undefined): Obstacle | undefined {
  if (state.type !== 'backingOff') return undefined
  const { type, message: cause } = state.failure
  if (type === 'overloaded' && cause.includes(STARTING)) return undefined
  switch (type) {
    case 'absent':
      return { key: type, message: ABSENT, cause }
    case 'forbidden':
      return { key: `${type} ${kind}/${namespace ?? ''}`, message: namespace ? FORBIDDEN_THERE : FORBIDDEN, cause }
    case 'connection':
    case 'overloaded':
    case 'invalid':
    case 'other':
      return { key: type, message: 'the API server cannot be read; trying again', cause }
    // Servers do that.
    case 'closed':
    case 'idle':
    case 'expired':
    case 'unsupported':
      return undefined
  }
}

/** What an API server says of a kind in the first second after its CustomResourceDefinition came. */
const STARTING = 'storage is (re)initializing'
const ABSENT =
  'the API server does not know a kind of midflight.dev: install the CustomResourceDefinitions: midflight crds | kubectl apply --server-side -f -'
const FORBIDDEN_THERE =
  'the API server refuses to show objects: add the namespace to `namespaces` of the chart, or grant this account the ClusterRole of deploy/install.yaml there, or leave it out of --namespaces'
const FORBIDDEN =
  'the API server refuses to show objects: grant this account what the ClusterRoleBinding of deploy/install.yaml does, or say in --namespaces what it may read'

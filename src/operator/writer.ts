import { type EventRecorder, type KubeClient, type KubeObject, LeaseLost } from '../kube/index.ts'
import type { Log } from '../log.ts'
import type { UnitEvent } from './unit/events.ts'

/** May write, as far as it knows. */
export type Writer = { readonly fence: number; isHeld(): boolean }

export type GuardedClient = Pick<KubeClient, 'get' | 'create' | 'patch' | 'delete'>

/** What writes, only while this process may. */
export function guarded(client: GuardedClient, { isHeld }: Pick<Writer, 'isHeld'>): GuardedClient {
  const check = (): void => {
    if (!isHeld()) throw new LeaseLost('Expired', 'the lease was not renewed in time: another operator may lead')
  }
  return {
    get: (...args) => client.get(...args),
    create: async (...args) => {
      check()
      return client.create(...args)
    },
    patch: async (...args) => {
      check()
      return client.patch(...args)
    },
    delete: async (...args) => {
      check()
      return client.delete(...args)
    },
  }
}

export type RecordEvent = (about: KubeObject, event: UnitEvent) => void

/** Events are kept for an hour: the log tells them too. */
export function recordAndLog(recorder: EventRecorder, log: Log): RecordEvent {
  return (regarding, event) => {
    recorder.record({ regarding, ...event })
    const { namespace, name } = regarding.metadata
    const level = event.type === 'Warning' ? 'warn' : 'info'
    log[level](event.note, { reason: event.reason, kind: regarding.kind, namespace, name })
  }
}

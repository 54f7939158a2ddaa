import { abandonOnAbort, type Clock, linkedTo } from '../../clock.ts'
import { ApiError, isApiError, type KubeObject, type ObjectName, type ResourceType } from '../types.ts'
import { LEASES, type LeaseRecord, readLease } from './record.ts'

/** Where leases are kept. Every method may reject with an `ApiError`. */
export interface LeaseClient {
  /** Undefined when there is none. */
  get(type: ResourceType, name: ObjectName, signal: AbortSignal): Promise<KubeObject | undefined>
  create(type: ResourceType, object: KubeObject, signal: AbortSignal): Promise<KubeObject>
  patch(
    type: ResourceType,
    name: ObjectName,
    patch: { readonly type: 'merge'; readonly body: object },
    signal: AbortSignal,
  ): Promise<KubeObject>
}

export type LeaseName = { readonly namespace: string; readonly name: string }

export type LeaseWrite =
  | { readonly type: 'written'; readonly record: LeaseRecord }
  /** Somebody else wrote it since it was read. */
  | { readonly type: 'conflict' }
  | { readonly type: 'gone' }

/** Requests about one lease, each with a time limit of its own after which it fails with code 0 and `Timeout`. */
export interface LeaseCalls {
  read(signal: AbortSignal): Promise<LeaseRecord | undefined>
  create(spec: object, signal: AbortSignal): Promise<LeaseWrite>
  /** @param resourceVersion that the lease must still have; any when undefined */
  write(spec: object, resourceVersion: string | undefined, signal: AbortSignal): Promise<LeaseWrite>
}

export type LeaseCallOptions = {
  readonly client: LeaseClient
  readonly lease: LeaseName
  readonly clock: Clock
  readonly timeoutMs: number
}

export function leaseCalls({ client, lease, clock, timeoutMs }: LeaseCallOptions): LeaseCalls {
  const limited = async <T>(parent: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const linked = linkedTo(parent)
    const timer = clock.timer(timeoutMs, () => {
      const message = `no answer about Lease ${lease.namespace}/${lease.name} within ${timeoutMs} ms`
      linked.abort(new ApiError({ code: 0, reason: 'Timeout', message }))
    })
    try {
      return await abandonOnAbort(call(linked.signal), linked.signal)
    } finally {
      timer.cancel()
      linked.release()
    }
  }
  return {
    read: async (signal) => {
      const found = await limited(signal, (limit) => client.get(LEASES, lease, limit))
      return found === undefined ? undefined : readLease(found)
    },
    create: (spec, signal) => {
      const object = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: lease, spec }
      // Of a missing namespace a create says 404: that stays an error.
      return written(
        limited(signal, (limit) => client.create(LEASES, object, limit)),
        [409],
      )
    },
    write: (spec, resourceVersion, signal) => {
      const metadata = resourceVersion === undefined ? {} : { resourceVersion }
      const patch = { type: 'merge', body: { metadata, spec } } as const
      return written(
        limited(signal, (limit) => client.patch(LEASES, lease, patch, limit)),
        [404, 409],
      )
    },
  }
}

async function written(answer: Promise<KubeObject>, told: readonly (404 | 409)[]): Promise<LeaseWrite> {
  try {
    return { type: 'written', record: readLease(await answer) }
  } catch (error) {
    if (!isApiError(error, ...told)) throw error
    return error.code === 404 ? { type: 'gone' } : { type: 'conflict' }
  }
}

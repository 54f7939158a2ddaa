import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { ApiError, type KubeObject, type ObjectName } from '../types.ts'
import type { LeaseClient } from './calls.ts'

export const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Lets everything that is due now happen. */
export async function settleDown(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await nextTurn()
}

export const refusal = (code: number, reason: string) => new ApiError({ code, reason, message: reason })

/** Leases as an API server keeps them: every write has a version of its own, and an old version is a conflict. */
export class LeaseServer {
  readonly #leases = new Map<string, KubeObject>()
  #version = 100

  get(name: ObjectName): KubeObject | undefined {
    return this.#leases.get(name.name)
  }

  create(object: KubeObject): KubeObject {
    if (this.#leases.has(object.metadata.name)) throw refusal(409, 'AlreadyExists')
    return this.#store(object)
  }

  patch(name: ObjectName, body: { metadata?: { resourceVersion?: string }; spec?: object }): KubeObject {
    const held = this.get(name)
    if (held === undefined) throw refusal(404, 'NotFound')
    const version = body.metadata?.resourceVersion
    if (version !== undefined && version !== held.metadata.resourceVersion) throw refusal(409, 'Conflict')
    return this.#store({ ...held, ...body, metadata: { ...held.metadata, ...body.metadata }, spec: merged(held, body) })
  }

  delete(name: ObjectName): void {
    this.#leases.delete(name.name)
  }

  #store(object: KubeObject): KubeObject {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: `${++this.#version}` } }
    this.#leases.set(object.metadata.name, stored)
    return stored
  }
}

const merged = ({ spec }: KubeObject, patch: { spec?: object }): object => ({ ...Object(spec), ...patch.spec })

/** How one process gets through to the server. `deaf`: requests arrive and answers are lost. */
export type Path = 'up' | 'down' | 'hanging' | 'deaf'

/**
 * One process: a clock whose timers wait while it is stopped, as after SIGSTOP, and a path to the server. Time goes on for
 * it all the same.
 */
export class Process implements LeaseClient {
  readonly clock: Clock
  path: Path = 'up'
  /** Every request fails with it. */
  refused: ApiError | undefined
  /** Requests are done, and answered when it resolves. */
  late: PromiseWithResolvers<void> | undefined
  /** Names of the methods that were called. */
  readonly requests: string[] = []
  readonly #server: LeaseServer
  #stopped: PromiseWithResolvers<void> | undefined

  constructor(server: LeaseServer, clock: Clock) {
    this.#server = server
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      timer: (ms, callback) => {
        let isCancelled = false
        const run = () => {
          if (this.#stopped === undefined) callback()
          else void this.#stopped.promise.then(() => (isCancelled ? undefined : callback()))
        }
        const timer = clock.timer(ms, run)
        const cancel = () => {
          isCancelled = true
          timer.cancel()
        }
        return { refresh: () => timer.refresh(), cancel }
      },
    }
  }

  stop(): void {
    this.#stopped ??= Promise.withResolvers<void>()
  }

  go(): void {
    this.#stopped?.resolve()
    this.#stopped = undefined
  }

  get: LeaseClient['get'] = (_, name, signal) => this.#send('get', () => this.#server.get(name), signal)
  create: LeaseClient['create'] = (_, object, signal) => this.#send('create', () => this.#server.create(object), signal)
  patch: LeaseClient['patch'] = (_, name, { body }, signal) =>
    this.#send('patch', () => this.#server.patch(name, body), signal)

  async #send<T>(method: string, perform: () => T, signal: AbortSignal): Promise<T> {
    this.requests.push(method)
    signal.throwIfAborted()
    if (this.refused !== undefined) throw this.refused
    if (this.path === 'down') throw refusal(0, 'ConnectionRefused')
    if (this.path === 'hanging') return new Promise<T>(() => {})
    const answer = perform()
    if (this.path === 'deaf') return new Promise<T>(() => {})
    await this.late?.promise
    await this.#stopped?.promise
    return answer
  }
}

import { randomInt } from 'node:crypto'
import type { RequestListener } from 'node:http'
import type { ApplyRequest } from '../../../../src/api/index.ts'
import { createLog } from '../../../../src/log.ts'
import { createMetrics } from '../../../../src/metrics.ts'
import type { Management } from '../../../../src/runtime/registry/index.ts'
import { createRuntime, type Runtime } from '../../../../src/runtime/runtime.ts'
import { createApp, type Serving, serve, type TlsFiles } from '../../../../src/runtime/server/index.ts'
import { createManagementApp } from '../../../../src/runtime/server/management/app.ts'
import { createInThreadHost } from '../../../../src/runtime/tools/index.ts'

/** A runtime in this process, with its API and its management protocol on an address of its own. */
export type PodRuntime = {
  /** 127.x.y.z: its pod's IP. */
  readonly host: string
  readonly url: string
  readonly managementPort: number
  /** The process behind the address now: another one after `restart`. */
  readonly runtime: Runtime
  /** Every apply that came in, oldest first, of all processes. */
  readonly applies: readonly ApplyRequest[]
  /** How often the state was asked for. */
  readonly states: number
  /** Everything it logged. */
  readonly logged: () => string
  /** Ends it as a crash would: connections are cut. */
  stop(): Promise<void>
  /** Another process under the same address, which knows nothing. */
  restart(): Promise<void>
}

export type PodRuntimesOptions = {
  readonly count: number
  /** A function is asked again with every call. */
  readonly token?: string | (() => string)
  /** Of the protocol, on the address of each; any that is free when absent. */
  readonly managementPort?: number
  /** The management protocol goes over TLS with this certificate. */
  readonly tls?: TlsFiles
  /** Which mounts may serve: all, or, as in pods that the operator runs, those that the settings name. */
  readonly mountsTaken?: 'all' | 'named'
  /** Comes between the protocol and the registry, to make it misbehave. */
  readonly wrap?: (management: Management, index: number) => Management
  /** Comes before the protocol's HTTP, to make that misbehave. */
  readonly front?: (protocol: RequestListener, index: number) => RequestListener
}

export const TOKEN = 'canary-management-token'

/** Runtimes on 127.A.B.2, 127.A.B.3 …, all on one management port, as adopted pods are. */
export async function startPodRuntimes(options: PodRuntimesOptions): Promise<PodRuntime[]> {
  const { count, token = TOKEN, tls, mountsTaken, wrap, front } = options
  const block = `127.${randomInt(1, 255)}.${randomInt(0, 255)}`
  const { managementPort = randomInt(12_000, 19_000) } = options
  return Promise.all(
    Array.from({ length: count }, (_, index) =>
      startOne(`${block}.${index + 2}`, managementPort, {
        token: typeof token === 'string' ? () => token : token,
        tls,
        mountsTaken,
        wrap: (each) => wrap?.(each, index) ?? each,
        front: (each) => front?.(each, index) ?? each,
      }),
    ),
  )
}

type One = {
  readonly token: () => string
  readonly tls: TlsFiles | undefined
  readonly mountsTaken: 'all' | 'named' | undefined
  readonly wrap: (management: Management) => Management
  readonly front: (protocol: RequestListener) => RequestListener
}

async function startOne(host: string, managementPort: number, one: One): Promise<PodRuntime> {
  const { token, tls, mountsTaken, wrap, front } = one
  const lines: string[] = []
  const log = createLog({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } })
  const applies: ApplyRequest[] = []
  let states = 0

  const launch = async () => {
    const stopping = new AbortController()
    const { signal } = stopping
    const runtime = createRuntime(
      { host: createInThreadHost(), metrics: createMetrics({ process: false }), mountsTaken },
      signal,
    )
    const { registry, runs } = runtime
    const management = wrap({
      state: () => {
        states += 1
        return registry.state()
      },
      apply: (request) => {
        applies.push(request)
        return registry.apply(request)
      },
      events: (until, lastEventId) => registry.events(until, lastEventId),
    })
    const info = { name: 'test', version: '0', osId: 'test' }
    const api = createApp({ snapshots: registry, runs, dynamic: registry, auth: { type: 'none' }, info, log })
    const protocol = createManagementApp({ management, tokens: () => [token()], log, signal })
    const servers: Serving[] = [
      await serve({ app: api, host, port: 0, signal, drainMs: 0 }),
      await serve({ app: front(protocol), host, port: managementPort, signal, tls, drainMs: 0 }),
    ]
    const stop = async () => {
      stopping.abort()
      await Promise.all(servers.map(({ closed }) => closed))
    }
    return { runtime, url: servers[0]?.url ?? '', stop }
  }

  let process = await launch()
  return {
    host,
    managementPort,
    applies,
    get url() {
      return process.url
    },
    get runtime() {
      return process.runtime
    },
    get states() {
      return states
    },
    logged: () => lines.join(''),
    stop: () => process.stop(),
    restart: async () => {
      await process.stop()
      process = await launch()
    },
  }
}

/** The answer of a run on a runtime, that is not streamed. */
export async function ask(url: string, path: string, message = 'hello'): Promise<string> {
  const response = await fetch(`${url}/${path}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message, stream: false }),
  })
  const body = (await response.json()) as { content?: string; detail?: string }
  return body.content ?? body.detail ?? ''
}

/** How many pods hold everything that was declared: tests that count pods wait for it first. */
export const areComplete = (runtimes: readonly PodRuntime[]): boolean =>
  runtimes.every(({ runtime }) => runtime.registry.state().complete)

import { randomUUID } from 'node:crypto'
import {
  type ApplyRequest,
  bundleOf,
  type Definition,
  definitionRevision,
  itemIdOf,
  SETTINGS_ID,
} from '../../src/api/index.ts'
import { createLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createRuntime, type Runtime } from '../../src/runtime/runtime.ts'
import { createApp, createHealthApp, serve } from '../../src/runtime/server/index.ts'
import { createToolHost, type Isolation } from '../../src/runtime/tools/index.ts'

export type TestRuntime = Runtime & {
  readonly url: string
  readonly healthUrl: string
  /** Everything the runtime logged, for searching. */
  readonly logged: () => string
  /** Declares definitions as the operator would; whatever is not named stays. */
  declare(...definitions: readonly Definition[]): ReturnType<Runtime['registry']['apply']>
  /** What a mounted directory shows. */
  files(bundle: string, files: Readonly<Record<string, string>>): ReturnType<Runtime['registry']['offer']>
  secret(id: string, value: string): Promise<unknown>
  stop(): Promise<void>
}

type RuntimeOptions = { readonly key?: string; readonly port?: number; readonly isolation?: Isolation }

/** A whole runtime behind real HTTP on free ports (or the given one for the API), with its API on and no key. */
export async function startRuntime({ key, port = 0, isolation = 'none' }: RuntimeOptions = {}): Promise<TestRuntime> {
  const stopping = new AbortController()
  const { signal } = stopping
  const lines: string[] = []
  const log = createLog({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } })
  const metrics = createMetrics({ process: false })
  const runtime = createRuntime(
    { host: createToolHost({ isolation, output: 'ignore' }, signal), metrics, log, loopback: true },
    signal,
  )
  const { registry, runs, surroundings } = runtime
  const app = createApp({
    snapshots: registry,
    runs,
    dynamic: registry,
    auth: key === undefined ? { type: 'none' } : { type: 'key', keys: () => [key] },
    info: { name: 'test', version: '0', osId: 'test' },
    log,
    surroundings,
  })
  const health = createHealthApp({
    metrics: { contentType: metrics.contentType, text: runtime.metricsText },
    ready: () => ({ ok: registry.state().complete, reasons: [] }),
  })
  const api = await serve({ app, host: '127.0.0.1', port, signal, drainMs: 100 })
  const healthServer = await serve({ app: health, host: '127.0.0.1', port: 0, signal, drainMs: 100 })
  const apply = (parts: Partial<ApplyRequest>) =>
    registry.apply({
      fence: 1,
      target: { bootId: registry.bootId },
      claim: 'test',
      mode: 'activate',
      items: {},
      bundles: {},
      secrets: {},
      remove: { items: [], bundles: [], secrets: [] },
      complete: { expected: 0 },
      ...parts,
    })
  return {
    ...runtime,
    url: api.url,
    healthUrl: healthServer.url,
    logged: () => lines.join(''),
    declare: (...definitions) => apply({ items: Object.fromEntries(definitions.map(asItem)) }),
    files: (bundle, files) =>
      registry.offer(bundleOf(bundle, new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)])))),
    secret: (id, value) => apply({ secrets: { [id]: { version: randomUUID(), value } } }),
    stop: async () => {
      stopping.abort()
      await Promise.all([api.closed, healthServer.closed])
    },
  }
}

const asItem = (definition: Definition): [string, ApplyRequest['items'][string]] => [
  definition.kind === 'Settings' ? SETTINGS_ID : itemIdOf(definition.kind, definition.name),
  { owner: 'operator', revision: definitionRevision(definition), definition },
]

/** The answer of a run that is not streamed. */
export async function ask(
  url: string,
  path: string,
  message: string,
  sessionId?: string,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${url}/${path}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message, stream: false, ...(sessionId === undefined ? {} : { session_id: sessionId }) }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

/** Resolves when the condition holds; looks again on every turn of the event loop, for at most `ms`. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${ms} ms for: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

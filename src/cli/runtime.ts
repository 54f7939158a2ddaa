import { listenPolicy } from '../runtime/server/index.ts'
import { type RuntimeConfig, UsageError } from './config.ts'
import { pathKind, readKey, requireDirectories } from './files.ts'
import { load, printLoaded, serveBoth } from './host.ts'
import type { Io } from './io.ts'

/** How long runs under way may go on when the runtime is stopped, in milliseconds. */
const DRAIN_MS = 10_000

/** Runs one runtime by hand, until it is stopped. What was loaded is told on stdout. */
export async function runtime(config: RuntimeConfig, io: Io): Promise<number> {
  const { bundle, definitions, host, authKeyFile, insecureNoAuth } = config
  if (definitions !== undefined) pathKind(definitions)
  requireDirectories(bundle.map(({ directory }) => directory))
  const twice = bundle.find(({ name }, index) => bundle.findIndex((other) => other.name === name) !== index)
  if (twice !== undefined)
    throw new UsageError(`--bundle ${twice.name} is given twice: give each bundle a name of its own`)
  const key = authKeyFile === undefined ? undefined : readKey(authKeyFile)
  const policy = listenPolicy({ host, hasKey: key !== undefined, insecureNoAuth })
  if (!policy.ok) throw new UsageError(policy.problem)

  const stop = new AbortController()
  const signal = AbortSignal.any([io.signal, stop.signal])
  try {
    const bundles = bundle.map((each) => ({ ...each, standsIn: false }))
    const loaded = await load({ manifests: definitions === undefined ? [] : [definitions], bundles }, io, signal)
    if (io.signal.aborted) return 0
    printLoaded(loaded, io)
    const auth = key === undefined ? ({ type: 'none' } as const) : ({ type: 'key', key } as const)
    const { api, health } = await serveBoth(loaded, config, { auth, io, signal, drainMs: DRAIN_MS, dynamicApi: false })
    io.stdout.write(`API      ${api.url}\nmetrics  ${health.url}/metrics\n`)
    await Promise.all([loaded.session.ended, api.closed, health.closed])
    return 0
  } finally {
    stop.abort()
  }
}

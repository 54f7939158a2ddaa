import { listenPolicy, type Serving, tokenFile } from '../runtime/server/index.ts'
import { type RuntimeConfig, UsageError } from './config.ts'
import { pathKind, readKey, requireDirectories } from './files.ts'
import { type Loaded, load, loadManaged, printLoaded, serveBoth, serveManagement } from './host.ts'
import type { Io } from './io.ts'

/** How long runs under way may go on when the runtime is stopped, in milliseconds. */
const DRAIN_MS = 10_000

/**
 * Runs one runtime, until it is stopped: by hand, or with a management token as an operator says. What was loaded is
 * told on stdout.
 */
export async function runtime(config: RuntimeConfig, io: Io): Promise<number> {
  const { host, authKeyFile, insecureNoAuth } = config
  checkPaths(config)
  const key = authKeyFile === undefined ? undefined : readKey(authKeyFile)
  const policy = listenPolicy({ host, hasKey: key !== undefined, insecureNoAuth })
  if (!policy.ok) throw new UsageError(policy.problem)

  const stop = new AbortController()
  const signal = AbortSignal.any([io.signal, stop.signal])
  try {
    const serveManaged = prepareManagement(config, io, signal)
    const loaded = await loadFor(config, io, signal)
    if (io.signal.aborted) return 0
    printLoaded(loaded, io)
    const auth = key === undefined ? ({ type: 'none' } as const) : ({ type: 'key', key } as const)
    const { api, health } = await serveBoth(loaded, config, { auth, io, signal, drainMs: DRAIN_MS, dynamicApi: false })
    io.stdout.write(`API      ${api.url}\nmetrics  ${health.url}/metrics\n`)
    const management = await serveManaged?.(loaded)
    if (management) io.stdout.write(`management  ${management.url}\n`)
    await Promise.all([loaded.session.ended, api.closed, health.closed, management?.closed])
    return 0
  } finally {
    stop.abort()
  }
}

function checkPaths({ bundle, definitions }: RuntimeConfig): void {
  if (definitions !== undefined) pathKind(definitions)
  requireDirectories(bundle.map(({ directory }) => directory))
  const twice = bundle.find(({ name }, index) => bundle.findIndex((other) => other.name === name) !== index)
  if (twice !== undefined)
    throw new UsageError(`--bundle ${twice.name} is given twice: give each bundle a name of its own`)
}

function loadFor({ bundle, definitions, managementTokenFile, podUid }: RuntimeConfig, io: Io, signal: AbortSignal) {
  const bundles = bundle.map((each) => ({ ...each, standsIn: false }))
  if (managementTokenFile !== undefined) return loadManaged({ bundles, podUid }, signal)
  return load({ manifests: definitions === undefined ? [] : [definitions], bundles }, io, signal)
}

/** Reads the token before anything is loaded. Undefined when the management protocol is not asked for. */
function prepareManagement(
  config: RuntimeConfig,
  io: Io,
  signal: AbortSignal,
): ((loaded: Loaded) => Promise<Serving>) | undefined {
  const { managementTokenFile, managementCert: cert, managementKey: key } = config
  if (managementTokenFile === undefined) return undefined
  const token = tokenFile(managementTokenFile)
  const tls = cert === undefined || key === undefined ? undefined : { cert, key }
  const { managementHost: host = '127.0.0.1', managementPort: port = 7778 } = config
  return (loaded) => serveManagement(loaded, { host, port, token, tls, io, signal })
}

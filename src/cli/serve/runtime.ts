import { linkedTo } from '../../clock.ts'
import {
  type Auth,
  keyFile,
  listenPolicy,
  type SecretSource,
  type Serving,
  tokenFiles,
} from '../../runtime/server/index.ts'
import { type RuntimeConfig, UsageError } from '../config.ts'
import { pathKind, readKey, requireDirectories } from '../files.ts'
import type { Io } from '../io.ts'
import { type Loaded, loadManaged, printLoaded, reloadLines, serveBoth, serveManagement, toolLog } from './host.ts'

/**
 * Runs one runtime, until it is stopped: by hand, or with a management token as an operator says. What was loaded is
 * told on stdout.
 */
export async function runtime(config: RuntimeConfig, io: Io): Promise<number> {
  const { host, authKeyFile, insecureNoAuth, allowHost } = config
  checkPaths(config)
  const keys = authKeyFile === undefined ? undefined : followKeys(authKeyFile)
  const policy = listenPolicy({ host, hasKey: keys !== undefined, insecureNoAuth })
  if (!policy.ok) throw new UsageError(policy.problem)

  const stop = linkedTo(io.signal)
  const { signal } = stop
  try {
    const serveManaged = prepareManagement(config, io, signal)
    const loaded = await loadFor(config, io, signal)
    if (io.signal.aborted) return 0
    // From here on what was asked to stop drains first.
    stop.release()
    printLoaded(loaded, io)
    const hosts = allowHost.map((name) => name.toLowerCase())
    const auth: Auth = keys === undefined ? { type: 'none', hosts } : { type: 'key', keys }
    const { api, health } = await serveBoth(loaded, config, {
      auth,
      io,
      stop,
      ending: {
        drainMs: config.drainSeconds * 1000,
        finalScrapeMs: config.finalScrapeSeconds * 1000,
        terminationLog: config.terminationLog,
      },
      dynamicApi: 'declared',
    })
    io.stdout.write(`API      ${api.url}\nmetrics  ${health.url}/metrics\n`)
    const management = await serveManaged?.(loaded)
    if (management) io.stdout.write(`management  ${management.url}\n`)
    await Promise.all([loaded.session.ended, api.closed, health.closed, management?.closed])
    return 0
  } finally {
    stop.abort(new Error('the runtime has ended'))
  }
}

/** @throws UsageError when there is no key at the start */
function followKeys(file: string): SecretSource {
  const first = readKey(file)
  return keyFile(file) ?? (() => [first])
}

function checkPaths({ bundle, definitions }: RuntimeConfig): void {
  if (definitions !== undefined) pathKind(definitions)
  requireDirectories(bundle.map(({ directory }) => directory))
  const twice = bundle.find(({ name }, index) => bundle.findIndex((other) => other.name === name) !== index)
  if (twice !== undefined)
    throw new UsageError(`--bundle ${twice.name} is given twice: give each bundle a name of its own`)
}

async function loadFor(config: RuntimeConfig, io: Io, signal: AbortSignal): Promise<Loaded> {
  const { bundle, definitions, managementTokenFile, podUid, bootSet, hotReload, reloadLog, isolation } = config
  const tell = (line: string) => void io.stdout.write(`${line}\n`)
  const bundles = bundle.map((each) => ({ ...each, standsIn: false }))
  if (managementTokenFile.length > 0) {
    const log = toolLog(io)
    const logs = { log, reloadLog: reloadLog ? reloadLines(io) : undefined }
    return loadManaged({ bundles, podUid, bootSet, hotReload, isolation, tell, ...logs }, signal)
  }
  const { load } = await import('./load.ts')
  const manifests = definitions === undefined ? [] : [definitions]
  return load({ manifests, bundles, hotReload, reloadLog, ...(isolation && { isolation }) }, io, signal)
}

/** Reads the tokens before anything is loaded. Undefined when the management protocol is not asked for. */
function prepareManagement(
  config: RuntimeConfig,
  io: Io,
  signal: AbortSignal,
): ((loaded: Loaded) => Promise<Serving>) | undefined {
  const { managementTokenFile, managementCert: cert, managementKey: key } = config
  if (managementTokenFile.length === 0) return undefined
  const tokens = tokenFiles(managementTokenFile)
  const tls = cert === undefined || key === undefined ? undefined : { cert, key }
  const { managementHost: host = '127.0.0.1', managementPort: port = 7778 } = config
  return (loaded) => serveManagement(loaded, { host, port, tokens, tls, io, signal })
}

import { linkedTo } from '../../clock.ts'
import { directoryBundles } from '../../dev/index.ts'
import { listenPolicy } from '../../runtime/server/index.ts'
import { type DevConfig, UsageError } from '../config.ts'
import { exampleOf } from '../example.ts'
import { requireDirectories } from '../files.ts'
import type { Io } from '../io.ts'
import { printLoaded, serveBoth } from './host.ts'
import { load } from './load.ts'

/**
 * Runs the agents of directories and reloads them on every save, until it is stopped.
 * @returns 0; with `once` 1 when something was refused or waits
 */
export async function dev(directories: readonly string[], config: DevConfig, io: Io): Promise<number> {
  requireDirectories(directories)
  if (!listenPolicy({ host: config.host, hasKey: false, insecureNoAuth: false }).ok) {
    throw new UsageError(
      `--host ${config.host} is reachable from other machines, and dev mode has no key: ` +
        'listen on 127.0.0.1, or use midflight runtime with --auth-key-file',
    )
  }
  const stop = linkedTo(io.signal)
  try {
    const bundles = directoryBundles(directories)
    const { hotReload, reloadLog } = config
    const loaded = await load({ manifests: directories, bundles, hotReload, reloadLog }, io, stop.signal)
    if (io.signal.aborted) return 0
    stop.release()
    io.stdout.write(`loaded ${directories.join(', ')}\n`)
    printLoaded(loaded, io)
    if (config.once) return loaded.session.problems().length === 0 ? 0 : 1
    const { api, health } = await serveBoth(loaded, config, {
      auth: { type: 'none' },
      io,
      stop,
      ending: { drainMs: 0, finalScrapeMs: 0 },
      dynamicApi: 'on',
    })
    io.stdout.write(`\nAPI      ${api.url}\nmetrics  ${health.url}/metrics\n`)
    io.stdout.write(
      `${exampleOf(loaded.runtime.registry.current, api.url)}\n${hotReload ? 'Watching.' : 'Watching manifests; hot reload of files is disabled.'} Ctrl-C stops.\n`,
    )
    await Promise.all([loaded.session.ended, api.closed, health.closed])
    return 0
  } finally {
    stop.abort(new Error('dev mode has ended'))
  }
}

import { dirname } from 'node:path'
import { directoryBundles } from '../../dev/index.ts'
import { pathKind } from '../files.ts'
import { type Io, plural } from '../io.ts'
import { printProblems } from './host.ts'
import { load } from './load.ts'

/**
 * Loads manifests and files as dev mode would, with no port, and prints every problem. The files beside a single
 * manifest are its bundle.
 * @returns 1 when there is any problem
 */
export async function validate(paths: readonly string[], io: Io): Promise<number> {
  const directories = new Set(paths.map((path) => (pathKind(path) === 'file' ? dirname(path) : path)))
  const stop = new AbortController()
  const signal = AbortSignal.any([io.signal, stop.signal])
  try {
    const { runtime, session } = await load(
      { manifests: paths, bundles: directoryBundles([...directories]) },
      io,
      signal,
    )
    if (printProblems(session, io) > 0) return 1
    const { agents, teams, workflows, tools, bundles } = runtime.registry.current
    const prompts = [...bundles.values()].reduce((sum, bundle) => sum + bundle.prompts.size, 0)
    const counts = [
      plural(agents.size, 'agent'),
      plural(teams.size, 'team'),
      plural(workflows.size, 'workflow'),
      plural([...tools.keys()].filter((name) => name.includes('/')).length, 'tool'),
      plural(prompts, 'prompt'),
    ]
    io.stdout.write(`ok: ${counts.join(', ')}\n`)
    return 0
  } finally {
    stop.abort()
  }
}

import { createMounts, type DirectoryBundle, type LocatedProblem, type Session } from '../dev/index.ts'
import type { Registry } from '../runtime/registry/index.ts'

/**
 * A runtime whose items come from an operator: only the mounted directories are followed here, until the signal aborts.
 * Resolves when what each of them shows was offered.
 */
export async function startManaged(
  registry: Registry,
  bundles: readonly DirectoryBundle[],
  signal: AbortSignal,
): Promise<Session> {
  const mounts = createMounts(registry, { offering: () => undefined, settled: () => undefined }, signal)
  await mounts.follow(new Map(bundles.map(({ name, directory }) => [name, directory])))
  const { promise, resolve } = Promise.withResolvers<void>()
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => resolve(), { once: true })
  return { problems: () => problemsOf(registry), ended: promise.then(() => mounts.ended()) }
}

/** Everything that the runtime has refused or waits with. */
function problemsOf(registry: Registry): LocatedProblem[] {
  const { items, bundles } = registry.state()
  const named = [
    ...Object.entries(items),
    ...Object.entries(bundles).map(([name, bundle]) => [`bundle ${name}`, bundle] as const),
  ]
  return named.flatMap(([what, { candidate }]) =>
    candidate?.error === undefined ? [] : [{ what, reason: candidate.error.reason, message: candidate.error.message }],
  )
}

import { systemClock } from '../../clock.ts'
import type { DirectoryBundle, LocatedProblem, Session } from '../../dev/index.ts'
// Not by way of the index, which brings what reads manifests.
import { createMounts } from '../../dev/mounts.ts'
import { type Boot, bootFrom } from '../../runtime/boot/index.ts'
import type { Registry } from '../../runtime/registry/index.ts'
import { plural } from '../io.ts'

export type ManagedOptions = {
  readonly bundles: readonly DirectoryBundle[]
  /** Directory of the boot set. */
  readonly bootSet?: string | undefined
  /** Whether the directories are followed, which is the default; else they are read once. */
  readonly hotReload?: boolean
  /** What the boot set brought, a line each. */
  readonly tell: (line: string) => void
}

/**
 * A runtime whose items come from an operator: here it begins with its boot set, and then its mounted directories are
 * followed until the signal aborts. Resolves when what each of them shows was offered: what came there since the
 * boot set was written comes after it, and what is refused leaves that serving. With a boot set a mount serves only while
 * the settings name it.
 */
export async function startManaged(
  registry: Registry,
  { bundles, bootSet, hotReload = true, tell }: ManagedOptions,
  signal: AbortSignal,
): Promise<Session> {
  if (bootSet !== undefined) {
    const now = systemClock.now()
    const boot = await bootFrom(bootSet, registry, { mounts: bundles, now })
    for (const line of describeBoot(boot, bootSet, now)) tell(line)
  }
  const observer = { offering: () => undefined, settled: () => undefined }
  const mounts = createMounts(registry, observer, signal, hotReload ? 'always' : 'once')
  await mounts.follow(new Map(bundles.map(({ name, directory }) => [name, directory])))
  const { promise, resolve } = Promise.withResolvers<void>()
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => resolve(), { once: true })
  return { problems: () => problemsOf(registry), ended: promise.then(() => mounts.ended()) }
}

/** @param now milliseconds since 1970 */
function describeBoot(boot: Boot, directory: string, now: number): string[] {
  const problems = boot.problems.map((problem) => `boot set  ${directory}: ${problem}`)
  if (boot.type === 'waiting') return [...problems, `boot set  none in ${directory}: waits for the operator`]
  const { runtime, items, bundles, writtenAt, notServed } = boot
  const what = `${plural(items, 'item')} and ${plural(bundles, 'bundle')}`
  return [
    ...problems,
    `boot set  of ${runtime}, written ${describeAge(now - Date.parse(writtenAt))} ago: ${what}`,
    ...notServed.map((each) => `boot set  ${each.what} does not serve: ${each.message}`),
  ]
}

/** Clocks differ: what was written in the future is of now. */
function describeAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
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

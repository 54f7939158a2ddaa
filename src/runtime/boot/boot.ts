import { type ApplyResponse, type BootSet, problemOf, SETTINGS_ID } from '../../api/index.ts'
import type { Management, MountedBundles } from '../registry/index.ts'
import { type MountedDirectory, mountsBehind } from './behind.ts'
import { readBootSet } from './read.ts'

/** What became of an item or a bundle that does not serve. */
export type NotServed = { readonly what: string; readonly message: string }

/** How a runtime began. */
export type Boot =
  | {
      readonly type: 'served'
      readonly runtime: string
      /** RFC 3339 */
      readonly writtenAt: string
      readonly items: number
      readonly bundles: number
      readonly notServed: readonly NotServed[]
      /** What else was found and could not be used. */
      readonly problems: readonly string[]
    }
  /** There is no set that can be used: the runtime waits for its operator. */
  | { readonly type: 'waiting'; readonly problems: readonly string[] }

export type BootOptions = {
  /** What is mounted; it is followed by somebody else, later. */
  readonly mounts: readonly MountedDirectory[]
  /** Milliseconds since 1970. */
  readonly now: number
}

type Booted = Pick<Management, 'state' | 'apply'> & Pick<MountedBundles, 'offer'>

/**
 * Brings the boot set of a directory to a runtime, as an operator would: what of it cannot serve stops nothing else, and
 * then the runtime is complete. What mounts showed already when the set was written comes before it: so a process that
 * restarts in its pod does not take for news what had been pushed over. Read once. Never rejects.
 */
export async function bootFrom(
  directory: string,
  runtime: Booted,
  { mounts, now }: BootOptions = { mounts: [], now: 0 },
): Promise<Boot> {
  const { found, problems } = readBootSet(directory)
  if (found === undefined) return { type: 'waiting', problems }
  const { set, stamp } = found
  try {
    for (const bundle of mountsBehind(mounts, stamp.writtenAt, now)) await runtime.offer(bundle)
    const notServed = notServedOf(await bring(set, runtime))
    const counts = { items: Object.keys(set.items).length, bundles: Object.keys(set.bundles).length }
    return { type: 'served', runtime: set.runtime, writtenAt: stamp.writtenAt, ...counts, notServed, problems }
  } catch (error) {
    return { type: 'waiting', problems: [...problems, problemOf(error, 'InternalError').message] }
  }
}

function bring(set: BootSet, management: Pick<Management, 'state' | 'apply'>): Promise<ApplyResponse> {
  const { fence, claim, items, bundles, secrets, pins } = set
  const { bootId } = management.state()
  // A runtime always has settings: it does not count them while they are what it began with.
  const expected = Object.keys(items).length - Number(Object.hasOwn(items, SETTINGS_ID))
  const remove = { items: [], bundles: [], secrets: [] }
  const content = { items, bundles, secrets, pins, remove }
  return management.apply({ fence, claim, target: { bootId }, mode: 'activate', ...content, complete: { expected } })
}

function notServedOf({ items, bundles }: ApplyResponse): NotServed[] {
  const named = [
    ...Object.entries(items),
    ...Object.entries(bundles).map(([name, result]) => [`bundle ${name}`, result] as const),
  ]
  return named.flatMap(([what, { error }]) => (error === undefined ? [] : [{ what, message: error.message }]))
}

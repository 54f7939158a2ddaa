import type { BundleFiles } from '../../api/index.ts'
import { readDirectory, swappedAt } from '../files/index.ts'

/** A directory that a bundle of this name is mounted at. */
export type MountedDirectory = { readonly name: string; readonly directory: string }

/**
 * What mounts showed already when a boot set was written. The set is at least as new as that: whoever wrote it knew what
 * the ConfigMap held, and the kubelet shows things late, or, of an immutable ConfigMap that was made anew, never. Clocks
 * of two machines are compared, so a set from the future tells nothing; nor does a directory that is no mount, or one
 * that cannot be read.
 * @param writtenAt when the set was written, RFC 3339
 * @param now milliseconds since 1970
 */
export function mountsBehind(mounts: readonly MountedDirectory[], writtenAt: string, now: number): BundleFiles[] {
  const written = Date.parse(writtenAt)
  return written <= now ? mounts.flatMap((mount) => shownBefore(mount, written) ?? []) : []
}

function shownBefore({ name, directory }: MountedDirectory, time: number): BundleFiles | undefined {
  const before = swappedAt(directory)
  if (before === undefined || before >= time) return undefined
  const files = readIfGood(directory)
  return files && swappedAt(directory) === before ? { name, ...files } : undefined
}

function readIfGood(directory: string) {
  try {
    return readDirectory(directory)
  } catch {
    // Whoever follows the directory tells why.
    return undefined
  }
}

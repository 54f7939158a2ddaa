import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listNames } from './bounds.ts'

/** One mount of this process's namespace: what of a file system is shown where. Both are absolute paths. */
export type MountPoint = { readonly root: string; readonly path: string }

/**
 * The mounts of a `/proc/self/mountinfo` (proc_pid_mountinfo(5)), in its order: of two at one path the later one is on
 * top. Lines that are none are left out.
 */
export function parseMounts(mountinfo: string): MountPoint[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [, , , root, path] = line.split(' ')
    return root === undefined || path === undefined ? [] : [{ root: unescaped(root), path: unescaped(path) }]
  })
}

/** Space, tab, newline and backslash are written as three octal digits. */
const unescaped = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/**
 * One version of a volume as the kubelet writes it (pkg/volume/util/atomic_writer.go), or something in it. Such a folder
 * is mounted by a `subPath` alone: a whole volume is mounted as the folder above.
 */
const ONE_VERSION = /\/\.\.\d{4}(_\d\d){5}\.\d+(\/|$)/

const isWithin = (path: string, folder: string): boolean =>
  folder === '/' || path === folder || path.startsWith(`${folder}/`)

/** The mount that a path is in. */
const coverOf = (mounts: readonly MountPoint[], path: string): MountPoint | undefined =>
  mounts.reduce<MountPoint | undefined>(
    (deepest, mount) =>
      isWithin(path, mount.path) && mount.path.length >= (deepest?.path.length ?? 0) ? mount : deepest,
    undefined,
  )

const isOneVersion = (mount: MountPoint | undefined): boolean => mount !== undefined && ONE_VERSION.test(mount.root)

/**
 * What of a directory is mounted by a `subPath`, and so never updated: `whole`, or those of its files.
 * @param directory an absolute path without links; `files` are relative to it
 */
export function mountedBySubPath(
  mounts: readonly MountPoint[],
  directory: string,
  files: Iterable<string>,
): 'whole' | readonly string[] {
  if (isOneVersion(coverOf(mounts, directory))) return 'whole'
  const within = mounts.filter(({ path }) => isWithin(path, directory))
  if (within.length === 0) return []
  return [...files].filter((file) => isOneVersion(coverOf(within, join(directory, file))))
}

const FIX = 'which the kubelet never updates: mount the ConfigMap as a directory, without subPath'

/** Warns of what is mounted by a `subPath`, in the words of a bundle's warnings. */
export function subPathWarnings(mounts: readonly MountPoint[], directory: string, files: Iterable<string>): string[] {
  const found = mountedBySubPath(mounts, directory, files)
  if (found === 'whole') return [`mounted by subPath, ${FIX}`]
  return found.length === 0 ? [] : [`${listNames(found)} mounted by subPath, ${FIX}`]
}

/** The mounts that this process sees; none where the kernel does not tell. */
export function currentMounts(): MountPoint[] {
  try {
    return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'))
  } catch {
    // No Linux, or /proc is hidden: nothing to warn of.
    return []
  }
}

import { basename, resolve } from 'node:path'
import { type BundleFiles, bundleOf } from '../api/index.ts'
import type { KubeObject } from '../kube/types.ts'
import { configMapFiles } from '../operator/index.ts'

/** A directory whose files are a bundle. */
export type DirectoryBundle = {
  readonly name: string
  readonly directory: string
  /** Whether an AgentRuntime's bundle of any name may be taken from it, for want of a ConfigMap manifest. */
  readonly standsIn: boolean
}

/** Where each bundle comes from. */
export type BundlePlan = {
  /** From a ConfigMap manifest. */
  readonly pushed: ReadonlyMap<string, BundleFiles>
  /** From a directory. */
  readonly mounted: ReadonlyMap<string, string>
}

/**
 * A bundle of the AgentRuntime comes from the ConfigMap manifest that it names, else from a directory: the one of its
 * own name, else the first that stands in. A directory that no entry took keeps its own name, unless that is taken.
 */
export function planBundles(
  entries: readonly { readonly name: string; readonly configMap: string }[],
  directories: readonly DirectoryBundle[],
  findConfigMap: (name: string) => KubeObject | undefined,
): BundlePlan {
  const pushed = new Map<string, BundleFiles>()
  const mounted = new Map<string, string>()
  const taken = new Set<DirectoryBundle>()
  for (const { name, configMap } of entries) {
    const manifest = findConfigMap(configMap)
    const directory = directories.find((each) => each.name === name) ?? directories.find(({ standsIn }) => standsIn)
    if (manifest !== undefined) pushed.set(name, bundleOf(name, configMapFiles(manifest)))
    else if (directory !== undefined) {
      mounted.set(name, directory.directory)
      taken.add(directory)
    }
  }
  for (const directory of directories) {
    const { name } = directory
    if (!taken.has(directory) && !mounted.has(name) && !pushed.has(name)) mounted.set(name, directory.directory)
  }
  return { pushed, mounted }
}

/** Bundles of directories, each named after its base name, made a DNS label; a name that is taken gets a number. */
export function directoryBundles(directories: readonly string[]): DirectoryBundle[] {
  const names = new Set<string>()
  return directories.map((directory) => {
    const label = labelOf(basename(resolve(directory)))
    let name = label
    for (let count = 2; names.has(name); count++) name = `${label.slice(0, 60)}-${count}`
    names.add(name)
    return { name, directory, standsIn: true }
  })
}

/** `My_Agents!` → `my-agents`. */
function labelOf(text: string): string {
  const label = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, '')
  return label === '' ? 'files' : label
}

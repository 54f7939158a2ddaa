import { type BundleFiles, hashText, roleOf } from '../api/index.ts'

/** Versions that are kept of each bundle: the one that serves, and those on their way. */
const KEPT = 4
/** Files of one change that are named; of more only the number is told. */
const NAMED = 3

/** Remembers the last versions of each bundle, to tell which files a change is about. */
export interface BundleHistory {
  /** A version that is about to be offered. */
  saw(bundle: BundleFiles): void
  /** Text of a file in the newest version. */
  textOf(bundle: string, path: string): string | undefined
  /** Names the files that differ from what serves: `tool tools/weather.ts, prompt support.md (deleted)`. */
  describe(bundle: string, hash: string | undefined): string
  /** Files differ from this version from now on. */
  serves(bundle: string, hash: string): void
}

type Versions = { versions: BundleFiles[]; served: BundleFiles | undefined }

export function createBundleHistory(): BundleHistory {
  const records = new Map<string, Versions>()
  const recordOf = (name: string): Versions => records.get(name) ?? { versions: [], served: undefined }
  const versionOf = (name: string, hash: string | undefined) =>
    recordOf(name).versions.findLast((version) => version.hash === hash)
  return {
    saw(bundle) {
      const { versions, served } = recordOf(bundle.name)
      records.set(bundle.name, { versions: [...versions, bundle].slice(-KEPT), served })
    },
    textOf(name, path) {
      const content = recordOf(name).versions.at(-1)?.files.get(path)
      return content === undefined ? undefined : Buffer.from(content).toString()
    },
    describe(name, hash) {
      const version = versionOf(name, hash)
      const changed = version === undefined ? [] : changedFiles(recordOf(name).served, version)
      if (changed.length === 0) return `bundle ${name}`
      const describeOne = (path: string) =>
        `${roleOf(path).role} ${path}${version?.files.has(path) ? '' : ' (deleted)'}`
      const named = changed.slice(0, NAMED).map(describeOne).join(', ')
      return changed.length > NAMED ? `${named} and ${changed.length - NAMED} more` : named
    },
    serves(name, hash) {
      const { versions, served } = recordOf(name)
      records.set(name, { versions, served: versionOf(name, hash) ?? served })
    },
  }
}

/** Paths that were added, removed or have other content, sorted. */
export function changedFiles(before: BundleFiles | undefined, after: BundleFiles): string[] {
  const old = before?.files ?? new Map<string, Uint8Array>()
  const paths = new Set([...old.keys(), ...after.files.keys()])
  return [...paths].filter((path) => hashOf(old.get(path)) !== hashOf(after.files.get(path))).sort()
}

const hashOf = (content: Uint8Array | undefined) => (content === undefined ? undefined : hashText(content))

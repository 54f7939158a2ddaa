import type { BundleFiles } from '../../../api/index.ts'

/** Earlier versions of a bundle that can be gone back to by hand. */
export const KEPT_VERSIONS = 3

/** Bytes of them, of one bundle: two of the largest. */
const MAX_KEPT_BYTES = 16_777_216

type Versions = { readonly serving: BundleFiles; readonly earlier: readonly BundleFiles[] }

/** The files of the last versions of each bundle that served, so that one can be gone back to. */
export class GoodVersions {
  readonly #versions = new Map<string, Versions>()
  readonly #kept: number

  /** @param kept earlier versions that are kept of each bundle, besides the one that serves */
  constructor(kept: number) {
    this.#kept = kept
  }

  /** Another version serves now, or none any more: then the bundle is forgotten. */
  serves(name: string, files: BundleFiles | undefined): void {
    const before = this.#versions.get(name)
    if (files === undefined) this.#versions.delete(name)
    else if (before?.serving.hash !== files.hash) this.#versions.set(name, next(before, files, this.#kept))
  }

  /** An earlier version turned out to be no good. */
  drop(name: string, hash: string): void {
    const versions = this.#versions.get(name)
    if (versions === undefined) return
    this.#versions.set(name, { ...versions, earlier: versions.earlier.filter((files) => files.hash !== hash) })
  }

  /** The version that served before the one that serves. */
  last(name: string): BundleFiles | undefined {
    return this.#versions.get(name)?.earlier.at(-1)
  }

  /** The version of a hash, also the one that serves. */
  find(name: string, hash: string): BundleFiles | undefined {
    const versions = this.#versions.get(name)
    return versions && [versions.serving, ...versions.earlier].find((files) => files.hash === hash)
  }

  /** Hashes of the earlier versions, the latest first. */
  held(name: string): string[] {
    return (this.#versions.get(name)?.earlier ?? []).map(({ hash }) => hash).reverse()
  }
}

/** A version that was gone back from is the last to be gone back to. */
function next(before: Versions | undefined, serving: BundleFiles, kept: number): Versions {
  if (before === undefined) return { serving, earlier: [] }
  const others = before.earlier.filter(({ hash }) => hash !== serving.hash)
  const wentBack = others.length < before.earlier.length
  return { serving, earlier: bounded(wentBack ? [before.serving, ...others] : [...others, before.serving], kept) }
}

function bounded(versions: readonly BundleFiles[], most: number): BundleFiles[] {
  const kept = versions.slice(Math.max(0, versions.length - most))
  while (kept.reduce((sum, files) => sum + bytesOf(files), 0) > MAX_KEPT_BYTES) kept.shift()
  return kept
}

const bytesOf = ({ files }: BundleFiles): number => [...files.values()].reduce((sum, { length }) => sum + length, 0)

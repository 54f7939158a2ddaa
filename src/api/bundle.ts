import type { BundlePush } from './management.ts'
import { hashJson, hashText } from './revision.ts'

/**
 * A bundle as it was read: the files of one ConfigMap or directory at one moment. Taken or refused as a whole.
 * Paths use `/` and are relative to the bundle.
 */
export type BundleFiles = {
  readonly name: string
  readonly hash: string
  readonly files: ReadonlyMap<string, Uint8Array>
  /** What whoever wrote the files should know of how they were read. */
  readonly warnings?: readonly string[]
}

/** The hash of a bundle: over the path and the content of each file, whatever their order. */
export function bundleHash(files: ReadonlyMap<string, Uint8Array>): string {
  return hashJson(Object.fromEntries([...files].map(([path, content]) => [path, hashText(content)])))
}

export const bundleOf = (name: string, files: ReadonlyMap<string, Uint8Array>): BundleFiles => ({
  name,
  hash: bundleHash(files),
  files,
})

/** A bundle as it travels: text as it is, anything else in base64. */
export function pushOf({ hash, files }: BundleFiles): BundlePush {
  return { hash, files: Object.fromEntries([...files].map(([path, content]) => [path, encode(content)])) }
}

function encode(content: Uint8Array): { text: string } | { base64: string } {
  const text = Buffer.from(content).toString()
  return Buffer.from(text).equals(content) ? { text } : { base64: Buffer.from(content).toString('base64') }
}

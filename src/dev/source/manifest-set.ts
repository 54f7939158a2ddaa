import { isDeepStrictEqual } from 'node:util'
import type { Problem } from '../../api/index.ts'
import type { WatchEvent } from '../../kube/types.ts'
import type { Manifest, ParsedManifests } from './manifests.ts'

/** `Agent/support`. In dev mode all objects are of one namespace. */
export const objectKey = (kind: string, name: string): string => `${kind}/${name}`

/**
 * What a directory source yields: a watch's events, and what only files can have. `FAILED` comes once for every new
 * problem of a file, `RECOVERED` when the file has none left.
 */
export type SourceEvent =
  | WatchEvent
  | { readonly type: 'FAILED'; readonly file: string; readonly problem: Problem; readonly text: string }
  | { readonly type: 'RECOVERED'; readonly file: string }

/** One manifest file as it counts now. */
export type ManifestFile = ParsedManifests & { readonly file: string; readonly text: string }

/** What all files declare together. */
export type ManifestSet = {
  /** The object that counts under each key. */
  readonly objects: ReadonlyMap<string, Manifest>
  readonly problems: ReadonlyMap<string, { readonly text: string; readonly problems: readonly Problem[] }>
}

export const EMPTY_SET: ManifestSet = { objects: new Map(), problems: new Map() }

/**
 * The next version of a file. While it has a problem, none of the objects that it held is lost: a slip in one field
 * must not delete what serves. With the problem mended they go, if they are still missing.
 */
export function nextVersion(previous: ManifestFile | undefined, next: ManifestFile): ManifestFile {
  if (next.problems.length === 0 || previous === undefined) return next
  const present = new Set(next.manifests.map(keyOf))
  const kept = previous.manifests.filter((manifest) => !present.has(keyOf(manifest)))
  return { ...next, manifests: [...next.manifests, ...kept] }
}

/**
 * Files in order → the objects that count: of two with one kind and name the first, the other is DuplicateName.
 * @param files in the order of directory and path
 */
export function mergeFiles(files: readonly ManifestFile[]): ManifestSet {
  const objects = new Map<string, Manifest>()
  const problems = new Map<string, { text: string; problems: Problem[] }>()
  for (const { file, text, manifests, problems: own } of files) {
    const all = [...own]
    for (const manifest of manifests) {
      const first = objects.get(keyOf(manifest))
      if (first === undefined) objects.set(keyOf(manifest), manifest)
      else all.push(duplicate(manifest, first))
    }
    if (all.length > 0) problems.set(file, { text, problems: all })
  }
  return { objects, problems }
}

/** What a watch would have said between two sets: deletions first, then additions and changes. */
export function eventsBetween(before: ManifestSet, after: ManifestSet): SourceEvent[] {
  const deleted = [...before.objects].filter(([key]) => !after.objects.has(key))
  const events: SourceEvent[] = deleted.map(([, { object }]) => ({ type: 'DELETED', object }))
  for (const [key, { object }] of after.objects) {
    const old = before.objects.get(key)
    if (old === undefined) events.push({ type: 'ADDED', object })
    else if (!isDeepStrictEqual(old.object, object)) events.push({ type: 'MODIFIED', object })
  }
  return [...events, ...problemEvents(before, after)]
}

function problemEvents(before: ManifestSet, after: ManifestSet): SourceEvent[] {
  const recovered = [...before.problems.keys()].filter((file) => !after.problems.has(file))
  const failed = [...after.problems].flatMap(([file, { text, problems }]) => {
    const known = new Set(before.problems.get(file)?.problems.map((problem) => JSON.stringify(problem)))
    return problems
      .filter((problem) => !known.has(JSON.stringify(problem)))
      .map((problem) => ({ type: 'FAILED' as const, file, problem, text }))
  })
  return [...recovered.map((file) => ({ type: 'RECOVERED' as const, file })), ...failed]
}

function duplicate(manifest: Manifest, first: Manifest): Problem {
  const { kind, metadata } = manifest.object
  const here = manifest.origin.positionOf('metadata.name')
  const there = first.origin.positionOf('metadata.name')
  const place = (file: string, { line, column }: { line: number; column: number }) => `${file}:${line}:${column}`
  return {
    reason: 'DuplicateName',
    message:
      `${kind} "${metadata.name}" is declared twice: ${place(first.origin.file, there)} counts, ` +
      `${place(manifest.origin.file, here)} does not; rename or delete one`,
    file: manifest.origin.file,
    ...here,
  }
}

const keyOf = ({ object }: Manifest): string => objectKey(object.kind, object.metadata.name)

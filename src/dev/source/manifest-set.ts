import { isDeepStrictEqual } from 'node:util'
import type { Problem } from '../../api/index.ts'
import type { WatchEvent } from '../../kube/types.ts'
import type { Manifest, ParsedManifests } from './manifests.ts'

/** `Agent/support`. In dev mode all objects are of one namespace. */
export const objectKey = (kind: string, name: string): string => `${kind}/${name}`

/**
 * What a directory source yields: a watch's events, and what only files can have. `FAILED` carries all problems that a
 * file has now, whenever they or its text changed; `RECOVERED` comes when it has none left, `REMOVED` when a file that
 * had problems is deleted. `seenAt` is when the change was first seen, on the monotonic clock in milliseconds.
 */
export type SourceEvent = FileEvent & { readonly seenAt: number }

type FileEvent =
  | WatchEvent
  | { readonly type: 'FAILED'; readonly file: string; readonly problems: readonly Problem[]; readonly text: string }
  | { readonly type: 'RECOVERED' | 'REMOVED'; readonly file: string }

/** One manifest file as it counts now. */
export type ManifestFile = ParsedManifests & {
  readonly file: string
  readonly text: string
  /** What it held before and may yet hold again. Counts while nothing else declares it. */
  readonly kept: readonly Manifest[]
}

/** What all files declare together. */
export type ManifestSet = {
  /** The object that counts under each key. */
  readonly objects: ReadonlyMap<string, Manifest>
  readonly problems: ReadonlyMap<string, { readonly text: string; readonly problems: readonly Problem[] }>
  readonly files: ReadonlySet<string>
}

export const EMPTY_SET: ManifestSet = { objects: new Map(), problems: new Map(), files: new Set() }

/**
 * The next version of a file. While it has a problem, none of the objects that it held is lost: a slip in one field
 * must not delete what serves. With the problem mended they go, if they are still missing.
 */
export function nextVersion(previous: ManifestFile | undefined, next: ManifestFile): ManifestFile {
  if (next.problems.length === 0 || previous === undefined) return next
  return { ...next, kept: missingFrom(next, previous) }
}

/** What the previous version held and the next does not declare. */
export function missingFrom(next: ManifestFile, previous: ManifestFile): Manifest[] {
  const present = new Set(next.manifests.map(keyOf))
  return [...previous.manifests, ...previous.kept].filter((manifest) => !present.has(keyOf(manifest)))
}

/**
 * Files in order → the objects that count: of two with one kind and name the first, the other is DuplicateName. What a
 * file only keeps yields to what any file declares.
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
  for (const manifest of files.flatMap(({ kept }) => kept)) {
    if (!objects.has(keyOf(manifest))) objects.set(keyOf(manifest), manifest)
  }
  return { objects, problems, files: new Set(files.map(({ file }) => file)) }
}

/** What a watch would have said between two sets: deletions first, then additions and changes. */
export function eventsBetween(before: ManifestSet, after: ManifestSet, seenAt: number): SourceEvent[] {
  const deleted = [...before.objects].filter(([key]) => !after.objects.has(key))
  const events: FileEvent[] = deleted.map(([, { object }]) => ({ type: 'DELETED', object }))
  for (const [key, { object }] of after.objects) {
    const old = before.objects.get(key)
    if (old === undefined) events.push({ type: 'ADDED', object })
    else if (!isDeepStrictEqual(old.object, object)) events.push({ type: 'MODIFIED', object })
  }
  return [...events, ...problemEvents(before, after)].map((event) => ({ ...event, seenAt }))
}

function problemEvents(before: ManifestSet, after: ManifestSet): FileEvent[] {
  const mended = [...before.problems.keys()].filter((file) => !after.problems.has(file))
  const failed = [...after.problems].filter(([file, now]) => !isDeepStrictEqual(before.problems.get(file), now))
  const isRemoved = (file: string) => before.files.has(file) && !after.files.has(file)
  return [
    ...mended.map((file) => ({ type: isRemoved(file) ? ('REMOVED' as const) : ('RECOVERED' as const), file })),
    ...failed.map(([file, now]) => ({ type: 'FAILED' as const, file, ...now })),
  ]
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

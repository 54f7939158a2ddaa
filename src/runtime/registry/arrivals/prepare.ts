import {
  type ApplyRequest,
  type BundleFiles,
  type BundlePush,
  bundleOf,
  type Definition,
  type DefinitionOf,
  definition,
  definitionRevision,
  itemIdOf,
  type Owner,
  type Problem,
  problemOf,
  problemOfIssues,
} from '../../../api/index.ts'
import type { LoadedBundle } from '../../files/loaded.ts'
import type { Hosting, ToolSet } from '../../tools/port.ts'
import type { Arrival } from '../core.ts'
import { bundleUnit, bundleUnitId, itemUnit, type ServedBundle, settingsUnit } from '../plan/served.ts'
import { loadModels, type ModelLoader, type SecretValue } from './load-models.ts'

type PushedItem = ApplyRequest['items'][string]

/** Parses one pushed item; the rest of the call does not depend on it. */
export function parseItem(id: string, item: PushedItem): Definition | Problem {
  const parsed = definition.safeParse(item.definition)
  if (!parsed.success) return problemOfIssues(parsed.error)
  const own = itemIdOf(parsed.data.kind, parsed.data.name)
  if (own !== id) return { reason: 'InvalidSpec', message: `${id} holds the definition of ${own}` }
  const revision = definitionRevision(parsed.data)
  if (revision === item.revision) return parsed.data
  return { reason: 'RevisionMismatch', message: `${id}: revision is ${revision}, not ${item.revision}` }
}

export const isProblem = (value: Definition | Problem): value is Problem => 'reason' in value

/** An agent, team or workflow as an arrival. Nothing of it has to be loaded, so this is synchronous. */
export const arrivalOfItem = (value: Exclude<Definition, { kind: 'Settings' }>, owner: Owner): Arrival => ({
  type: 'put',
  unit: itemUnit(value, owner),
})

/** The settings as an arrival: their models' clients are made. */
export async function arrivalOfSettings(
  value: DefinitionOf<'Settings'>,
  owner: Owner,
  secrets: ReadonlyMap<string, SecretValue>,
  load: ModelLoader,
): Promise<Arrival> {
  try {
    return { type: 'put', unit: settingsUnit(value, owner, await loadModels(value.spec, secrets, load)) }
  } catch (error) {
    const revision = definitionRevision(value)
    return { type: 'refused', id: 'settings', owner, revision, error: problemOf(error, 'ModelLoadFailed') }
  }
}

/**
 * @param previous tools of the version that serves, of which untouched modules may be taken over
 * @param using what self-tests read as secrets, and where code runs
 * @throws ProblemError with the file, line and column of what is wrong
 */
export type BundleLoader = (
  files: BundleFiles,
  packages: readonly string[],
  previous: ToolSet | undefined,
  using: Pick<LoadWith, 'toolSecrets' | 'hosting'>,
) => Promise<LoadedBundle>

/** What a load may depend on besides the files. */
export type LoadWith = {
  readonly packages: readonly string[]
  readonly hosting: Hosting
  /** Changes with the value of any secret, and with what tools may read of them. */
  readonly secrets: string
  /** Values of the settings' `tools.secrets`, by name. */
  readonly toolSecrets: Readonly<Record<string, string>>
}

/** Bundles are loaded again when it changes. */
export const settingsKey = ({ packages, hosting }: Pick<LoadWith, 'packages' | 'hosting'>): string =>
  [hosting.isolation, hosting.memoryMiB, ...packages].join()

/** A bundle as an arrival: its tools and prompts are loaded, or it is refused as a whole. */
export async function arrivalOfBundle(
  files: BundleFiles,
  load: () => Promise<LoadedBundle>,
): Promise<Extract<Arrival, { type: 'refused' }> | { readonly type: 'put'; readonly unit: ServedBundle }> {
  try {
    return { type: 'put', unit: bundleUnit(await load()) }
  } catch (error) {
    const id = bundleUnitId(files.name)
    return { type: 'refused', id, revision: files.hash, source: files, error: problemOf(error, 'ToolLoadFailed') }
  }
}

/**
 * The same files, with the content objects of another version where they are equal: what was worked out for those, such
 * as their compiled code, holds for both.
 */
export function sharing(bundle: BundleFiles, other: BundleFiles | undefined): BundleFiles {
  if (other === undefined) return bundle
  const shared = [...bundle.files].map(([path, content]) => {
    const known = other.files.get(path)
    return [path, known !== undefined && Buffer.compare(known, content) === 0 ? known : content] as const
  })
  return { ...bundle, files: new Map(shared) }
}

/** The files of a pushed bundle, or what is wrong with them. */
export function filesOfPush(name: string, { hash, files }: BundlePush): BundleFiles | Problem {
  const contents = Object.entries(files).map(
    ([path, file]) => [path, 'text' in file ? Buffer.from(file.text) : Buffer.from(file.base64, 'base64')] as const,
  )
  const bundle = bundleOf(name, new Map(contents))
  if (bundle.hash === hash) return bundle
  return { reason: 'RevisionMismatch', message: `bundle ${name}: hash is ${bundle.hash}, not ${hash}` }
}

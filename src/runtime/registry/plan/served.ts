import {
  type Definition,
  type DefinitionOf,
  definitionRevision,
  type ItemId,
  itemIdOf,
  type Owner,
  type Problem,
} from '../../../api/index.ts'
import type { LoadedBundle } from '../../files/loaded.ts'
import type { LoadedModel } from '../snapshot.ts'
import { modelRef, requirementsOf, toolRef } from './requirements.ts'
import type { Unit } from './resolve.ts'

/** An item whose parts are loaded: ready to serve as soon as what it refers to is there. */
export type ServedItem = Unit & {
  readonly type: 'item'
  readonly owner: Owner
  readonly definition: Exclude<Definition, { kind: 'Settings' }>
  readonly revision: string
}

/** The runtime's settings with the clients of the models that can be had. */
export type ServedSettings = Unit & {
  readonly type: 'settings'
  readonly owner: Owner
  readonly definition: DefinitionOf<'Settings'>
  readonly revision: string
  readonly models: ReadonlyMap<string, LoadedModel>
  /** Versions of the secrets that the models were made with. */
  readonly secrets: string
}

/** A loaded version of a bundle. */
export type ServedBundle = Unit & { readonly type: 'bundle'; readonly bundle: LoadedBundle }

/** What the registry holds under an id. */
export type Served = ServedItem | ServedSettings | ServedBundle

const BUNDLE_PREFIX = 'bundles/'
export const bundleUnitId = (name: string): string => `${BUNDLE_PREFIX}${name}`
export const bundleNameOf = (unitId: string): string | undefined =>
  unitId.startsWith(BUNDLE_PREFIX) ? unitId.slice(BUNDLE_PREFIX.length) : undefined

/** An agent, team or workflow as a unit. */
export function itemUnit(definition: ServedItem['definition'], owner: Owner): ServedItem {
  const id: ItemId = itemIdOf(definition.kind, definition.name)
  return {
    type: 'item',
    id,
    owner,
    definition,
    revision: definitionRevision(definition),
    provides: [id],
    requires: requirementsOf(definition),
  }
}

/** The models of some settings: those that can be had, and why the others cannot. */
export type LoadedModels = {
  readonly models: ReadonlyMap<string, LoadedModel>
  readonly unavailable: ReadonlyMap<string, Problem>
  /** Versions of the secrets that went in. */
  readonly secrets: string
}

/** The settings as a unit: they provide the models that loaded and say why the others are missing. */
export function settingsUnit(
  definition: DefinitionOf<'Settings'>,
  owner: Owner,
  { models, unavailable, secrets }: LoadedModels,
): ServedSettings {
  return {
    type: 'settings',
    id: 'settings',
    owner,
    definition,
    revision: definitionRevision(definition),
    models,
    secrets,
    provides: ['settings', ...[...models.keys()].map(modelRef)],
    requires: [],
    unavailable: new Map([...unavailable].map(([name, why]) => [modelRef(name), why])),
  }
}

/** A bundle as a unit: it provides its tools and prompts, bare and under its name. */
export function bundleUnit(bundle: LoadedBundle): ServedBundle {
  const id = bundleUnitId(bundle.name)
  const tools = bundle.tools.tools.map(({ name }) => name)
  const prompts = [...bundle.prompts.keys()]
  return {
    type: 'bundle',
    id,
    bundle,
    provides: [
      id,
      ...tools.flatMap((name) => [toolRef(name), toolRef(`${bundle.name}/${name}`)]),
      ...prompts.flatMap((file) => [`prompt:${file}`, `prompt:${bundle.name}/${file}`]),
    ],
    requires: [],
  }
}

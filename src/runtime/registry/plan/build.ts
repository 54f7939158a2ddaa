import { type DefinitionKind, digestOf, SETTINGS_ID } from '../../../api/index.ts'
import type { LoadedBundle } from '../../files/loaded.ts'
import { type ActiveItem, type AnyActiveItem, itemAt, type ServedTool, type Snapshot } from '../snapshot.ts'
import { extensionsOf } from './extensions.ts'
import type { Served, ServedItem, ServedSettings } from './served.ts'
import { selectTools } from './tool-names.ts'

/** Bundles in the order in which a bare tool name is looked up: the settings' order, the mounts' order, then by name. */
function orderBundles(
  bundles: ReadonlyMap<string, LoadedBundle>,
  settings: ServedSettings,
  mounts: readonly string[],
): Map<string, LoadedBundle> {
  const declared = settings.definition.spec.bundles.map(({ name }) => name)
  const names = new Set([...declared, ...mounts, ...[...bundles.keys()].sort()])
  return new Map(
    [...names].flatMap((name) => {
      const bundle = bundles.get(name)
      return bundle ? [[name, bundle] as const] : []
    }),
  )
}

function indexTools(bundles: ReadonlyMap<string, LoadedBundle>): Map<string, ServedTool> {
  const tools = new Map<string, ServedTool>()
  for (const [bundleName, bundle] of bundles) {
    for (const description of bundle.tools.tools) {
      const served: ServedTool = { description, bundle }
      tools.set(`${bundleName}/${description.name}`, served)
      if (!tools.has(description.name)) tools.set(description.name, served)
    }
  }
  return tools
}

/** Names of tools that more than one bundle has, with the bundles; the first one serves the bare name. */
export function toolClashes(bundles: ReadonlyMap<string, LoadedBundle>): Map<string, string[]> {
  const holders = new Map<string, string[]>()
  for (const [bundleName, bundle] of bundles) {
    for (const { name } of bundle.tools.tools) holders.set(name, [...(holders.get(name) ?? []), bundleName])
  }
  return new Map([...holders].filter(([, names]) => names.length > 1))
}

/** Names of the bundles whose files an item's behaviour depends on. */
function bundlesUsed(
  { definition }: ServedItem,
  bundles: ReadonlyMap<string, LoadedBundle>,
  tools: ReadonlyMap<string, ServedTool>,
): Set<string> {
  switch (definition.kind) {
    case 'Team':
      return extending(bundles)
    case 'Workflow': {
      const names = definition.spec.steps.flatMap(({ tool }) => (tool === undefined ? [] : [tool]))
      return new Set(selectTools(names, tools).map(({ bundle }) => bundle.name))
    }
    case 'Agent': {
      const used = extending(bundles)
      for (const { bundle } of selectTools(definition.spec.tools, tools)) used.add(bundle.name)
      const { prompt } = definition.spec
      const holder = prompt && findPromptBundle(bundles, prompt)
      if (holder) used.add(holder.name)
      return used
    }
  }
}

/** Bundles with extensions: they have their say in every run of an agent or a team. */
const extending = (bundles: ReadonlyMap<string, LoadedBundle>): Set<string> =>
  new Set([...bundles.values()].filter(({ tools }) => tools.extensions.length > 0).map(({ name }) => name))

/** The bundle that a prompt reference means: the named one, else the first in order that has the file. */
export function findPromptBundle(
  bundles: ReadonlyMap<string, LoadedBundle>,
  { bundle, file }: { bundle?: string | undefined; file: string },
): LoadedBundle | undefined {
  if (bundle !== undefined) return bundles.get(bundle)
  return [...bundles.values()].find(({ prompts }) => prompts.has(file))
}

/** What the snapshot before was made from, so that what did not change is taken over. */
export type Previous = { readonly units: ReadonlyMap<string, Served>; readonly snapshot: Snapshot }

/** Bundles that an item uses, by name and hash, sorted by name. */
type Used = ReadonlyMap<string, string>

/** The entry that an unchanged unit had, when the bundles that it uses are the same. */
function keptEntry(unit: ServedItem, used: Used, { units, snapshot }: Previous): AnyActiveItem | undefined {
  const entry = units.get(unit.id) === unit ? itemAt(snapshot, unit.id) : undefined
  if (entry === undefined || (entry.bundles?.length ?? 0) !== used.size) return undefined
  const isSame = [...used].every(
    ([name, hash]) => entry.bundles?.includes(name) && snapshot.bundles.get(name)?.hash === hash,
  )
  return isSame ? entry : undefined
}

/** While no bundle has changed, not even their order, every unchanged unit keeps its entry unseen. */
function haveSameBundles(before: Snapshot, bundles: ReadonlyMap<string, LoadedBundle>): boolean {
  const now = [...bundles.values()]
  return (
    before.bundles.size === now.length && [...before.bundles.values()].every((bundle, index) => bundle === now[index])
  )
}

/**
 * Makes the snapshot that serves the given units.
 * @param units consistent, with the settings among them
 * @param mounts names of mounted bundles in the order in which they were given
 */
export function buildSnapshot(
  id: string,
  units: ReadonlyMap<string, Served>,
  mounts: readonly string[],
  previous?: Previous,
): Snapshot {
  const settings = units.get(SETTINGS_ID)
  if (settings?.type !== 'settings') throw new Error('a snapshot always has settings')
  const loaded = [...units.values()].flatMap((unit) => (unit.type === 'bundle' ? [unit.bundle] : []))
  const bundles = orderBundles(new Map(loaded.map((bundle) => [bundle.name, bundle])), settings, mounts)
  const tools = indexTools(bundles)
  const reusable = previous?.snapshot.settings.revision === settings.revision ? previous : undefined
  const untouched = reusable && haveSameBundles(reusable.snapshot, bundles) ? reusable : undefined
  const activeOf = (unit: ServedItem): AnyActiveItem => {
    const unseen = untouched?.units.get(unit.id) === unit ? itemAt(untouched.snapshot, unit.id) : undefined
    if (unseen) return unseen
    const names = [...bundlesUsed(unit, bundles, tools)].sort()
    const used = new Map(names.map((name) => [name, bundles.get(name)?.hash ?? '']))
    const kept = reusable && keptEntry(unit, used, reusable)
    if (kept) return kept
    const input = { revision: unit.revision, bundles: Object.fromEntries(used), settings: settings.revision }
    return activeItem(unit, digestOf(input), names)
  }
  const itemsOf = <K extends DefinitionKind>(kind: K): Map<string, ActiveItem<K>> =>
    new Map(
      [...units.values()].flatMap((unit) =>
        unit.type === 'item' && unit.definition.kind === kind
          ? [[unit.definition.name, activeOf(unit) as unknown as ActiveItem<K>] as const]
          : [],
      ),
    )
  return Object.freeze({
    id,
    agents: itemsOf('Agent'),
    teams: itemsOf('Team'),
    workflows: itemsOf('Workflow'),
    settings: previous?.units.get(SETTINGS_ID) === settings ? previous.snapshot.settings : activeSettings(settings),
    models: settings.models,
    bundles,
    tools,
    extensions: extensionsOf(bundles.values()),
  })
}

const activeSettings = (settings: ServedSettings): ActiveItem<'Settings'> =>
  activeItem(
    settings,
    digestOf({ revision: settings.revision, bundles: {}, settings: settings.revision }),
  ) as ActiveItem<'Settings'>

const activeItem = (
  { id, owner, definition, revision }: ServedItem | ServedSettings,
  digest: string,
  bundles: readonly string[] = [],
): AnyActiveItem =>
  Object.freeze({
    id,
    owner,
    definition,
    revision,
    digest,
    ...(bundles.length === 0 ? {} : { bundles }),
  }) as AnyActiveItem

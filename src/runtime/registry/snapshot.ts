import type { LanguageModelV4 } from '@ai-sdk/provider'
import type { DefinitionKind, DefinitionOf, ExtensionPoint, ItemId, ModelSpec, Owner } from '../../api/index.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import type { ExtensionDescription, ToolDescription } from '../tools/port.ts'

/** An item that serves. */
export type ActiveItem<K extends DefinitionKind> = {
  readonly id: ItemId
  readonly owner: Owner
  readonly definition: DefinitionOf<K>
  readonly revision: string
  readonly digest: string
  /** Names of the bundles whose files it uses, sorted. Absent when it uses none. */
  readonly bundles?: readonly string[]
}

/** An item of any kind that serves. */
export type AnyActiveItem = { [K in DefinitionKind]: ActiveItem<K> }[DefinitionKind]

/** The item that serves under an id. */
export function itemAt(snapshot: Snapshot, id: ItemId): AnyActiveItem | undefined {
  if (id === snapshot.settings.id) return snapshot.settings
  const [kind, name = ''] = id.split('/')
  return kind === 'agents' || kind === 'teams' || kind === 'workflows' ? snapshot[kind].get(name) : undefined
}

/** A model that answers: its declaration and the provider's client, with the key already in it. */
export type LoadedModel = {
  readonly spec: ModelSpec
  readonly client: LanguageModelV4
  /** Takes the key out of a message. Absent where there is no key. */
  readonly redact?: (text: string) => string
}

/** A tool that can be called: its description and the bundle version that holds it. */
export type ServedTool = { readonly description: ToolDescription; readonly bundle: LoadedBundle }

/** An extension that runs: its description and the bundle version that holds it. */
export type ServedExtension = { readonly description: ExtensionDescription; readonly bundle: LoadedBundle }

/**
 * What a runtime serves at one moment: consistent in itself, and never changed. A run pins the snapshot it starts
 * with and reads nothing else.
 */
export interface Snapshot {
  /** Changes with every swap. */
  readonly id: string
  readonly agents: ReadonlyMap<string, ActiveItem<'Agent'>>
  readonly teams: ReadonlyMap<string, ActiveItem<'Team'>>
  readonly workflows: ReadonlyMap<string, ActiveItem<'Workflow'>>
  readonly settings: ActiveItem<'Settings'>
  readonly models: ReadonlyMap<string, LoadedModel>
  /** In the order in which a bare tool name is looked up. */
  readonly bundles: ReadonlyMap<string, LoadedBundle>
  /** Every tool under `bundle/name`, and under its bare name where it is the first of that name. */
  readonly tools: ReadonlyMap<string, ServedTool>
  /** In the order in which they run. A point that nobody extends is absent. */
  readonly extensions: ReadonlyMap<ExtensionPoint, readonly ServedExtension[]>
}

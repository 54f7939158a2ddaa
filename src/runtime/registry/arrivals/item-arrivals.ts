import {
  type ApplyRequest,
  type DefinitionOf,
  hashJson,
  type Owner,
  SETTINGS_ID,
  secretId,
  settingsSpec,
} from '../../../api/index.ts'
import { type Arrival, arrivalId, ownerOfUnit, type RegistryCore } from '../core.ts'
import { ownedBy } from '../plan/guard.ts'
import { type ServedSettings, settingsUnit } from '../plan/served.ts'
import { type ModelLoader, type SecretValue, secretVersions } from './load-models.ts'
import { arrivalOfItem, arrivalOfSettings, isProblem, type LoadWith, parseItem } from './prepare.ts'

/** Something to prepare: the id that it is for, and how. */
export type Work = readonly (readonly [string, () => Arrival | Promise<Arrival>])[]

export type Secrets = ReadonlyMap<string, SecretValue>

/** All secrets as they are after a call. */
export function withSecrets(before: Secrets, { secrets, remove }: ApplyRequest): Secrets {
  const after = new Map([...before, ...Object.entries(secrets)])
  for (const id of remove.secrets) after.delete(id)
  return after
}

type ToolSettings = DefinitionOf<'Settings'>['spec']['tools']

/** The settings that serve while nobody has declared any. */
export function defaultSettings(): ServedSettings {
  const definition: DefinitionOf<'Settings'> = { kind: 'Settings', name: 'default', spec: settingsSpec.parse({}) }
  return settingsUnit(definition, 'operator', {
    models: new Map(),
    unavailable: new Map(),
    secrets: secretVersions([], new Map()),
  })
}

export type ItemArrivalsOptions = {
  readonly core: RegistryCore
  readonly defaults: ServedSettings
  readonly loadModel: ModelLoader
}

/** The items of a call as arrivals, and who owns what. */
export class ItemArrivals {
  readonly #core: RegistryCore
  readonly #defaults: ServedSettings
  readonly #loadModel: ModelLoader
  #latest: { readonly tools: ToolSettings; readonly secrets: Secrets; readonly loadWith: LoadWith } | undefined

  constructor({ core, defaults, loadModel }: ItemArrivalsOptions) {
    this.#core = core
    this.#defaults = defaults
    this.#loadModel = loadModel
  }

  /** True while nobody has declared settings. */
  get hasDefaultSettings(): boolean {
    return this.#newestSettings() === this.#defaults && this.#core.candidates.get(SETTINGS_ID) === undefined
  }

  /** The owner of an item, active or waiting. */
  ownerOf(id: string): Owner | undefined {
    return this.#core.candidates.get(id)?.owner ?? ownerOfUnit(this.#core.unit(id))
  }

  /** What a call declares and removes, and the settings once more where a secret that they need has changed. */
  of(request: ApplyRequest, secrets: Secrets): Work {
    return [
      ...Object.entries(request.items).map(([id, item]) => [id, () => this.#declared(id, item, secrets)] as const),
      ...this.#settingsAgain(request, secrets),
      ...request.remove.items.map((id) => [id, () => this.#removed(id)] as const),
    ]
  }

  /** What bundles are loaded with as the settings say: those of the call, where it brings settings. */
  loadWith(secrets: Secrets, request?: ApplyRequest): LoadWith {
    const tools = (request && toolsIn(request)) ?? this.#core.snapshot.settings.definition.spec.tools
    const latest = this.#latest
    if (latest?.tools === tools && latest.secrets === secrets) return latest.loadWith
    const loadWith = loadWithOf(tools, secrets)
    this.#latest = { tools, secrets, loadWith }
    return loadWith
  }

  /** Nobody replaces or removes what the operator owns but the operator; a declaration takes over what the API added. */
  allowed(arrival: Arrival): Arrival {
    const id = arrivalId(arrival)
    const owner = ownerOfUnit(this.#core.unit(id))
    const arriving = arrival.type === 'put' ? ownerOfUnit(arrival.unit) : undefined
    if (owner === undefined || arriving !== 'api' || owner === 'api') return arrival
    return { type: 'refused', id, owner, error: ownedBy(owner, id) }
  }

  #declared(id: string, item: ApplyRequest['items'][string], secrets: Secrets): Arrival | Promise<Arrival> {
    const parsed = parseItem(id, item)
    if (isProblem(parsed)) return { type: 'refused', id, revision: item.revision, owner: item.owner, error: parsed }
    if (parsed.kind === 'Settings') return arrivalOfSettings(parsed, item.owner, secrets, this.#loadModel)
    return arrivalOfItem(parsed, item.owner)
  }

  /** There are always settings: removing them puts the defaults back. */
  #removed(id: string): Arrival {
    if (id === SETTINGS_ID) return { type: 'put', unit: this.#defaults }
    const owner = ownerOfUnit(this.#core.unit(id)) ?? this.#core.candidates.get(id)?.owner
    if (owner === 'api') return { type: 'refused', id, owner, error: ownedBy(owner, id) }
    return { type: 'remove', id }
  }

  #settingsAgain({ items, remove }: ApplyRequest, secrets: Secrets): Work {
    const newest = this.#newestSettings()
    if (Object.hasOwn(items, SETTINGS_ID) || remove.items.includes(SETTINGS_ID)) return []
    if (secretVersions(newest.definition.spec.models, secrets) === newest.secrets) return []
    return [[SETTINGS_ID, () => arrivalOfSettings(newest.definition, newest.owner, secrets, this.#loadModel)]]
  }

  #newestSettings(): ServedSettings {
    const candidate = this.#core.candidates.get(SETTINGS_ID)
    const unit = candidate?.type === 'put' ? candidate.unit : this.#core.unit(SETTINGS_ID)
    if (unit?.type !== 'settings') throw new Error('there are always settings')
    return unit
  }
}

function loadWithOf({ packages, isolation, memoryMiB, secrets: named }: ToolSettings, secrets: Secrets): LoadWith {
  const versions = Object.fromEntries([...secrets].map(([id, { version }]) => [id, version]))
  const toolSecrets = named.flatMap(({ name, secretKeyRef }) => {
    const value = secrets.get(secretId(secretKeyRef))?.value
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    packages,
    hosting: { isolation, memoryMiB },
    secrets: hashJson({ versions, named }),
    toolSecrets: Object.fromEntries(toolSecrets),
  }
}

/** How tools run by the settings that a call brings; undefined when it brings none that can be read. */
function toolsIn({ items }: ApplyRequest): ToolSettings | undefined {
  const item = Object.hasOwn(items, SETTINGS_ID) ? items[SETTINGS_ID] : undefined
  const parsed = item && parseItem(SETTINGS_ID, item)
  return parsed === undefined || isProblem(parsed) || parsed.kind !== 'Settings' ? undefined : parsed.spec.tools
}

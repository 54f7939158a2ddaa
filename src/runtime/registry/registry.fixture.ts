import type { JSONValue, LanguageModelV4 } from '@ai-sdk/provider'
import {
  type ApplyRequest,
  agentSpec,
  type BundleFiles,
  type BundlePush,
  bundleHash,
  type Definition,
  definitionRevision,
  itemIdOf,
  type ModelSpec,
  type Owner,
  ProblemError,
  settingsSpec,
  teamSpec,
} from '../../api/index.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import type { ToolSet } from '../tools/port.ts'
import type { RegistryOptions } from './port.ts'
import { Registry } from './registry.ts'
import type { LoadedModel } from './snapshot.ts'

/** A model that is only there to be referred to. */
const client: LanguageModelV4 = {
  specificationVersion: 'v4',
  provider: 'none',
  modelId: 'none',
  supportedUrls: {},
  doGenerate: () => Promise.reject(new Error('not called in these tests')),
  doStream: () => Promise.reject(new Error('not called in these tests')),
}

/** A tool file here holds its own result as text; a file that says `broken` cannot be loaded. */
export class FakeTools implements ToolSet {
  readonly warnings = []
  readonly extensions = []
  readonly report = { reloaded: [], kept: [], stages: { transform: 0, load: 0, check: 0 } }
  readonly tools
  readonly #results: ReadonlyMap<string, string>
  disposed = 0

  constructor(bundle: BundleFiles) {
    const named = [...bundle.files].filter(([path]) => path.startsWith('tools/'))
    this.#results = new Map(named.map(([path, content]) => [toolOf(path), Buffer.from(content).toString()]))
    this.tools = named.map(([path]) => ({
      name: toolOf(path),
      bundle: bundle.name,
      file: path,
      description: '',
      parameters: { type: 'object' as const },
    }))
  }

  async call(tool: string): Promise<JSONValue> {
    return this.#results.get(tool) ?? null
  }

  async extend(): Promise<JSONValue> {
    return null
  }

  async dispose(): Promise<void> {
    this.disposed += 1
  }
}

const toolOf = (path: string): string => path.slice('tools/'.length).replace(/\.ts$/, '')

/** Loads bundles at the pace that a test sets, and remembers what it loaded. */
export class FakeLoader {
  readonly loaded: LoadedBundle[] = []
  readonly gates = new Map<string, Promise<void>>()
  readonly packages: (readonly string[])[] = []

  readonly load = async (bundle: BundleFiles, packages: readonly string[]): Promise<LoadedBundle> => {
    this.packages.push(packages)
    await this.gates.get(bundle.hash)
    for (const [file, content] of bundle.files) {
      const text = Buffer.from(content).toString()
      if (text === 'broken')
        throw new ProblemError({ reason: 'InvalidSyntax', message: 'broken', file, line: 1, column: 1 })
      if (text === 'zod' && !packages.includes('zod'))
        throw new ProblemError({ reason: 'PackageNotAllowed', message: 'zod', file })
    }
    const prompts = [...bundle.files].filter(([path]) => path.startsWith('prompts/'))
    const loaded: LoadedBundle = {
      name: bundle.name,
      hash: bundle.hash,
      source: bundle,
      tools: new FakeTools(bundle),
      prompts: new Map(
        prompts.map(([file, content]) => {
          const name = file.slice('prompts/'.length)
          return [name, { name, file, text: Buffer.from(content).toString() }]
        }),
      ),
      warnings: [],
    }
    this.loaded.push(loaded)
    return loaded
  }
}

export const loadModel = async (spec: ModelSpec): Promise<LoadedModel> => ({ spec, client })

export function makeRegistry(options: Partial<RegistryOptions> = {}): { registry: Registry; loader: FakeLoader } {
  const loader = new FakeLoader()
  return { registry: new Registry({ bootId: 'boot', loadModel, loadBundle: loader.load, ...options }), loader }
}

const SCRIPT = [{ match: '.*', reply: 'hello' }]
export const settings = (spec: object = {}): Definition => ({
  kind: 'Settings',
  name: 'default',
  spec: settingsSpec.parse({ models: [{ name: 'default', provider: 'scripted', script: SCRIPT }], ...spec }),
})
export const agent = (name: string, spec: object = {}): Definition => ({
  kind: 'Agent',
  name,
  spec: agentSpec.parse(spec),
})
export const team = (name: string, ...agents: string[]): Definition => ({
  kind: 'Team',
  name,
  spec: teamSpec.parse({ members: agents.map((member) => ({ agent: member })) }),
})

export function filesOf(entries: Readonly<Record<string, string>>): ReadonlyMap<string, Uint8Array> {
  return new Map(Object.entries(entries).map(([path, text]) => [path, Buffer.from(text)]))
}

export const push = (entries: Readonly<Record<string, string>>): BundlePush => ({
  hash: bundleHash(filesOf(entries)),
  files: Object.fromEntries(Object.entries(entries).map(([path, text]) => [path, { text }])),
})

type Parts = {
  owner?: Owner
  definitions?: readonly Definition[]
  bundles?: Record<string, BundlePush>
  secrets?: ApplyRequest['secrets']
  remove?: Partial<ApplyRequest['remove']>
} & Partial<Pick<ApplyRequest, 'mode' | 'fence' | 'claim' | 'target' | 'ifSnapshot' | 'complete' | 'pins' | 'release'>>

/** An `apply` that names only what a test is about. */
export const request = ({
  owner = 'operator',
  definitions = [],
  bundles = {},
  secrets = {},
  remove,
  ...rest
}: Parts): ApplyRequest => ({
  fence: 1,
  target: { bootId: 'boot' },
  claim: 'test',
  mode: 'activate',
  items: Object.fromEntries(
    definitions.map((definition) => [
      itemIdOf(definition.kind, definition.name),
      { owner, revision: definitionRevision(definition), definition },
    ]),
  ),
  bundles,
  secrets,
  remove: { items: [], bundles: [], secrets: [], ...remove },
  ...rest,
})

/** Two versions of one bundle. */
export const V1 = { 'tools/weather.ts': 'sun', 'prompts/a.md': 'one' }
export const V2 = { 'tools/weather.ts': 'rain', 'prompts/a.md': 'two' }

/** A registry that serves agent `support` from bundle `files`. */
export async function serving(spec: object = { tools: ['weather'] }) {
  const made = makeRegistry()
  await made.registry.apply(
    request({ definitions: [settings(), agent('support', spec)], bundles: { files: push(V1) } }),
  )
  return made
}

/** The reason that a call is refused with. */
export const reasonOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
    return 'no error'
  } catch (error) {
    return error instanceof ProblemError ? error.problem.reason : String(error)
  }
}

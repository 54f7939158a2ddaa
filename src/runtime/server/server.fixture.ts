import { randomUUID } from 'node:crypto'
import type { JSONObject } from '@ai-sdk/provider'
import {
  bundleOf,
  type Definition,
  type DefinitionKind,
  definition,
  definitionRevision,
  digestOf,
  type ItemResult,
  itemIdOf,
  type Owner,
  ProblemError,
  type RunnablePlural,
} from '../../api/index.ts'
import type { Log, LogFields } from '../../log.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import type { DynamicItems, Pinned, SnapshotSource } from '../registry/port.ts'
import type { ActiveItem, LoadedModel, ServedTool, Snapshot } from '../registry/snapshot.ts'
import type { RunEvent, RunSubject } from '../run/events.ts'
import type { Run, RunRequest, Runs } from '../run/port.ts'
import type { ToolCallContext, ToolDescription } from '../tools/port.ts'
import { type AppDeps, createApp } from './app.ts'
import { type Serving, serve } from './listen.ts'

// In-memory implementations of the ports that the server stands on, for tests.

type RunnableDefinition = Exclude<Definition, { kind: 'Settings' }>
type Declared = { readonly definition: RunnableDefinition; readonly owner: Owner }

/** A registry without files or models of its own: what is declared serves. */
export class MemoryRegistry implements SnapshotSource, DynamicItems {
  current: Snapshot
  pinned = 0
  readonly #records = new Map<string, Declared>()
  readonly #bundles: readonly LoadedBundle[]
  readonly #models: ReadonlyMap<string, LoadedModel>
  #settings: object = {}
  #swaps = 0

  constructor(options: { bundles?: readonly LoadedBundle[]; models?: readonly string[] } = {}) {
    this.#bundles = options.bundles ?? []
    this.#models = new Map((options.models ?? ['default']).map((name) => [name, memoryModel(name)]))
    this.current = this.#build()
  }

  pin(): Pinned {
    this.pinned += 1
    return {
      snapshot: this.current,
      release: () => {
        this.pinned -= 1
      },
    }
  }

  /** Declares an item as an operator or dev mode would. `value` is a definition before its defaults. */
  declare(value: unknown, owner: Owner = 'dev'): void {
    this.#put(runnable(definition.parse(value)), owner)
  }

  /** Puts other settings in the place of those that serve. `spec` is one before its defaults. */
  configure(spec: object): void {
    this.#settings = spec
    this.current = this.#build()
  }

  async add(value: Definition): Promise<ItemResult> {
    const item = runnable(value)
    const id = itemIdOf(item.kind, item.name)
    const holder = this.#records.get(id)?.owner
    if (holder === 'operator') throw new ProblemError({ reason: 'OwnedByOther', message: `${id} is owned by operator` })
    if (holder !== undefined) throw new ProblemError({ reason: 'DuplicateName', message: `${id} exists` })
    const isServed = !('model' in item.spec) || this.#models.has(item.spec.model)
    this.#put(item, 'api')
    const revision = definitionRevision(item)
    if (isServed) return { outcome: 'activated', revision }
    return { outcome: 'pending', revision, error: { reason: 'ModelNotFound', message: 'no such model' } }
  }

  async remove(kind: RunnablePlural, name: string): Promise<ItemResult> {
    if (this.ownerOf(kind, name) !== 'api') throw new ProblemError({ reason: 'OwnedByOther', message: 'not yours' })
    const member = [...this.current.teams.values()].find(({ definition: team }) =>
      team.spec.members.some(({ agent }) => kind === 'agents' && agent === name),
    )
    if (member) {
      const message = `${name} is a member of team ${member.definition.name}`
      throw new ProblemError({ reason: 'StillReferenced', message })
    }
    this.#records.delete(`${kind}/${name}`)
    this.current = this.#build()
    return { outcome: 'activated' }
  }

  ownerOf(kind: RunnablePlural, name: string): Owner | undefined {
    return this.#records.get(`${kind}/${name}`)?.owner
  }

  #put(item: RunnableDefinition, owner: Owner): void {
    this.#records.set(itemIdOf(item.kind, item.name), { definition: item, owner })
    this.current = this.#build()
  }

  #build(): Snapshot {
    this.#swaps += 1
    const settings = definition.parse({ kind: 'Settings', name: 'settings', spec: this.#settings })
    if (settings.kind !== 'Settings') throw new Error('settings parse to settings')
    return {
      id: String(this.#swaps),
      agents: this.#itemsOf('Agent'),
      teams: this.#itemsOf('Team'),
      workflows: this.#itemsOf('Workflow'),
      settings: activeItem({ definition: settings, owner: 'dev' }) as ActiveItem<'Settings'>,
      models: this.#models,
      bundles: new Map(this.#bundles.map((bundle) => [bundle.name, bundle])),
      tools: new Map(this.#bundles.flatMap(toolEntries)),
      extensions: new Map(),
    }
  }

  #itemsOf<K extends DefinitionKind>(kind: K): Map<string, ActiveItem<K>> {
    const records = [...this.#records.values()].filter((record) => record.definition.kind === kind)
    return new Map(records.map((record) => [record.definition.name, activeItem(record) as unknown as ActiveItem<K>]))
  }
}

function runnable(value: Definition): RunnableDefinition {
  if (value.kind === 'Settings') throw new Error('settings are not runnable')
  return value
}

function activeItem(record: { definition: Definition; owner: Owner }): object {
  const { definition: item, owner } = record
  const revision = definitionRevision(item)
  const digest = digestOf({ revision, bundles: {}, settings: '' })
  return { id: itemIdOf(item.kind, item.name), owner, definition: item, revision, digest }
}

const toolEntries = (bundle: LoadedBundle): [string, ServedTool][] =>
  bundle.tools.tools.flatMap((description) => {
    const tool = { description, bundle }
    return [
      [`${bundle.name}/${description.name}`, tool],
      [description.name, tool],
    ]
  })

const refuse = () => Promise.reject(new Error('this model is never called'))

const memoryModel = (name: string): LoadedModel => ({
  spec: { name, provider: 'scripted', parameters: {}, script: [{ match: '.*', reply: 'Hello' }] },
  client: {
    specificationVersion: 'v4',
    provider: 'scripted',
    modelId: name,
    supportedUrls: {},
    doGenerate: refuse,
    doStream: refuse,
  },
})

type ToolFunction = (args: JSONObject, context: ToolCallContext) => Promise<JSONObject | string>

/** A bundle that holds functions and prompt texts. */
export function memoryBundle(
  name: string,
  tools: Readonly<Record<string, ToolFunction>>,
  prompts: Readonly<Record<string, string>> = {},
): LoadedBundle {
  const source = bundleOf(name, new Map())
  const describe = (tool: string): ToolDescription => ({
    name: tool,
    bundle: name,
    file: `tools/${tool}.ts`,
    description: `The tool ${tool}`,
    parameters: { type: 'object' },
  })
  return {
    name,
    hash: source.hash,
    source,
    warnings: [],
    prompts: new Map(Object.entries(prompts).map(([file, text]) => [file, { name: file, file, text }])),
    tools: {
      tools: Object.keys(tools).map(describe),
      extensions: [],
      warnings: [],
      report: { reloaded: [], kept: [], stages: { transform: 0, load: 0, check: 0 } },
      call: async (tool, args, context) => tools[tool]?.(args, context) ?? null,
      extend: async () => null,
      dispose: async () => undefined,
    },
  }
}

type WithoutFrame<E> = E extends RunEvent ? Omit<E, 'run' | 'at'> : never

/** What a run of a name does: says what happens in between, and returns its answer. */
export type Behaviour = (
  request: RunRequest,
  say: (happening: WithoutFrame<RunEvent>) => void,
  signal: AbortSignal,
) => Promise<string>

/** Runs that do what a test says. An item without a behaviour answers `Hello from <name>`, word by word. */
export class MemoryRuns implements Runs {
  readonly behaviours = new Map<string, Behaviour>()
  readonly cancelled: { runId: string; reason: string }[] = []
  /** Events made so far, of all runs. */
  made = 0
  readonly #snapshots: SnapshotSource
  readonly #live = new Map<string, Run>()

  constructor(snapshots: SnapshotSource) {
    this.#snapshots = snapshots
  }

  start(request: RunRequest): Run {
    const item = this.#snapshots.current[request.kind].get(request.name)
    if (item === undefined)
      throw new ProblemError({ reason: 'AgentNotFound', message: `${request.name} is not served` })
    const { revision, digest, definition: value } = item
    const { kind, name } = request
    const ids = { runId: randomUUID(), sessionId: request.sessionId ?? randomUUID() }
    const subject: RunSubject = { kind, name, title: value.title ?? name, ...ids, depth: 0, revision, digest }
    const abort = new AbortController()
    const events = new EventQueue()
    const ended = this.#perform(request, subject, events, abort.signal)
    const run: Run = {
      subject,
      events,
      ended,
      cancel: (reason) => {
        this.cancelled.push({ runId: subject.runId, reason })
        abort.abort(reason)
      },
    }
    this.#live.set(subject.runId, run)
    return run
  }

  cancel(runId: string, reason: string): boolean {
    const run = this.#live.get(runId)
    run?.cancel(reason)
    return run !== undefined
  }

  async cancelAll({ kind, name }: { kind?: RunnablePlural; name?: string }, reason: string): Promise<void> {
    const runs = [...this.#live.values()].filter(({ subject }) => subject.kind === kind && subject.name === name)
    for (const run of runs) run.cancel(reason)
    await Promise.all(runs.map(({ ended }) => ended))
  }

  inFlight(): number {
    return this.#live.size
  }

  async #perform(request: RunRequest, run: RunSubject, events: EventQueue, signal: AbortSignal): Promise<void> {
    const say = (happening: WithoutFrame<RunEvent>): void => {
      this.made += 1
      events.push({ run, at: Date.now(), ...happening } as RunEvent)
    }
    say({ type: 'started', model: { name: 'default', provider: 'scripted', id: 'default' } })
    const behaviour = this.behaviours.get(request.name) ?? greet
    try {
      const content = await Promise.race([behaviour(request, say, signal), aborted(signal)])
      const usage = { inputTokens: 3, outputTokens: 2 }
      say({ type: 'completed', result: { content, output: content, usage, steps: 1 } })
    } catch (error) {
      if (signal.aborted) {
        say({ type: 'cancelled', error: { reason: 'RunCancelled', message: String(signal.reason) } })
      } else if (error instanceof ProblemError) say({ type: 'failed', error: error.problem })
      else events.fail(error)
    }
    events.end()
    this.#live.delete(run.runId)
  }
}

const greet: Behaviour = async ({ name }, say) => {
  const words = ['Hello', ' from ', name]
  for (const delta of words) say({ type: 'content', delta })
  return words.join('')
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })

/** Events from the first on, for one reader. */
class EventQueue implements AsyncIterable<RunEvent> {
  readonly #events: RunEvent[] = []
  #state: { type: 'open' } | { type: 'ended' } | { type: 'failed'; error: unknown } = { type: 'open' }
  #wake: () => void = () => undefined

  push(event: RunEvent): void {
    this.#events.push(event)
    this.#wake()
  }

  end(): void {
    if (this.#state.type === 'open') this.#state = { type: 'ended' }
    this.#wake()
  }

  fail(error: unknown): void {
    this.#state = { type: 'failed', error }
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RunEvent> {
    while (true) {
      const event = this.#events.shift()
      if (event !== undefined) yield event
      else if (this.#state.type === 'failed') throw this.#state.error
      else if (this.#state.type === 'ended') return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}

export type LogLine = { readonly level: string; readonly message: string; readonly fields: LogFields }

/** A log that keeps its lines. */
export function memoryLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = []
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}) =>
      void lines.push({ level, message, fields })
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } }
}

export type TestServer = Serving & {
  readonly registry: MemoryRegistry
  readonly runs: MemoryRuns
  readonly lines: LogLine[]
  readonly app: ReturnType<typeof createApp>
  [Symbol.asyncDispose](): Promise<void>
}

/** A server on a free port, over in-memory ports. Disposing it cuts what is still open. */
export async function startServer(options: Partial<AppDeps> & { registry?: MemoryRegistry } = {}): Promise<TestServer> {
  const registry = options.registry ?? new MemoryRegistry()
  const runs = new MemoryRuns(registry)
  const { log, lines } = memoryLog()
  const info = { name: 'Test OS', version: '1.2.3', osId: 'test-os' }
  const app = createApp({ snapshots: registry, runs, dynamic: registry, auth: { type: 'none' }, info, log, ...options })
  const stop = new AbortController()
  const serving = await serve({ app, host: '127.0.0.1', port: 0, signal: stop.signal, drainMs: 100 })
  const dispose = async (): Promise<void> => {
    stop.abort()
    await serving.closed
  }
  return { ...serving, registry, runs, lines, app, [Symbol.asyncDispose]: dispose }
}

import type { JSONObject, JSONSchema7, JSONValue } from '@ai-sdk/provider'
import {
  type DefinitionKind,
  type DefinitionOf,
  definition,
  type ExtensionPoint,
  type ModelSpec,
  ProblemError,
  settingsSpec,
} from '../../api/index.ts'
import { type Clock, systemClock } from '../../clock.ts'
import type { LoadedBundle } from '../files/loaded.ts'
import { type CallPolicy, loadModel } from '../models/index.ts'
import { openNetwork } from '../network/network.fixture.ts'
import { extensionsOf } from '../registry/plan/extensions.ts'
import type { Pinned, SnapshotSource } from '../registry/port.ts'
import type { ActiveItem, LoadedModel, ServedTool, Snapshot } from '../registry/snapshot.ts'
import type { ToolCallContext, ToolSet } from '../tools/port.ts'
import { createUsageMeter, type RunContext, type RunEnvironment, subjectOf } from './context.ts'
import type { RunEvent } from './events.ts'

export type TestTool = {
  readonly description?: string
  readonly parameters?: JSONSchema7
  readonly execute: (args: JSONObject, context: ToolCallContext) => JSONValue | Promise<JSONValue>
}

export type TestBundle = {
  readonly tools?: Record<string, TestTool>
  readonly prompts?: Record<string, string>
  readonly extensions?: readonly TestExtension[]
}

export type SnapshotInput = {
  readonly id?: string
  readonly agents?: Record<string, object>
  readonly teams?: Record<string, object>
  readonly workflows?: Record<string, object>
  readonly models?: Record<string, LoadedModel>
  readonly bundles?: Record<string, TestBundle>
  readonly settings?: object
}

/** A snapshot as the registry would make it, of specs as they are written. */
export function makeSnapshot(input: SnapshotInput): Snapshot {
  const bundles = new Map(Object.entries(input.bundles ?? {}).map(([name, bundle]) => [name, makeBundle(name, bundle)]))
  const tools = new Map<string, ServedTool>()
  for (const bundle of bundles.values()) {
    for (const description of bundle.tools.tools) {
      tools.set(`${bundle.name}/${description.name}`, { description, bundle })
      if (!tools.has(description.name)) tools.set(description.name, { description, bundle })
    }
  }
  const settings = settingsSpec.parse(input.settings ?? {})
  return {
    id: input.id ?? 'snapshot-1',
    agents: items('Agent', input.agents),
    teams: items('Team', input.teams),
    workflows: items('Workflow', input.workflows),
    settings: { ...frame('settings'), definition: { kind: 'Settings', name: 'settings', spec: settings } },
    models: new Map(Object.entries(input.models ?? {})),
    bundles,
    tools,
    extensions: extensionsOf(bundles.values()),
  }
}

function items<K extends Exclude<DefinitionKind, 'Settings'>>(
  kind: K,
  specs: Record<string, object> = {},
): Map<string, ActiveItem<K>> {
  return new Map(
    Object.entries(specs).map(([name, spec]) => {
      const parsed = definition.parse({ kind, name, spec }) as DefinitionOf<K>
      return [name, { ...frame(`${kind.toLowerCase()}s/${name}`), definition: parsed }]
    }),
  )
}

const frame = (id: string) => ({ id, owner: 'dev' as const, revision: `revision of ${id}`, digest: `digest of ${id}` })

function makeBundle(name: string, { tools = {}, prompts = {}, extensions }: TestBundle): LoadedBundle {
  const loaded = Object.entries(prompts).map(
    ([file, text]) => [file, { name: file, file: `prompts/${file}`, text }] as const,
  )
  const source = { name, hash: `hash of ${name}`, files: new Map() }
  return {
    name,
    hash: source.hash,
    source,
    tools: makeToolSet(name, tools, extensions),
    prompts: new Map(loaded),
    warnings: [],
  }
}

export type TestExtension = {
  readonly name: string
  readonly point: ExtensionPoint
  readonly execute: (event: JSONObject, context: ToolCallContext) => unknown
}

const fileOf = ({ name, point }: Pick<TestExtension, 'name' | 'point'>): string => `extensions/${point}/${name}.ts`

/** Tools in this thread. What they return goes through JSON; what they throw is ToolFailed. */
export function makeToolSet(
  bundle: string,
  tools: Record<string, TestTool>,
  extensions: readonly TestExtension[] = [],
): ToolSet {
  return {
    tools: Object.entries(tools).map(([name, { description = `Does ${name}`, parameters = { type: 'object' } }]) => ({
      name,
      bundle,
      file: `tools/${name}.ts`,
      description,
      parameters,
    })),
    extensions: extensions.map(({ name, point }) => ({ name, bundle, point, file: fileOf({ name, point }) })),
    warnings: [],
    report: { reloaded: [], kept: [], stages: { transform: 0, load: 0, check: 0 } },
    extend: async (file, event, context) => {
      const found = extensions.find((extension) => fileOf(extension) === file)
      try {
        return JSON.parse(JSON.stringify((await found?.execute(structuredClone(event), context)) ?? null))
      } catch (error) {
        throw new ProblemError({ reason: 'ExtensionFailed', message: String(error), file })
      }
    },
    call: async (name, args, context) => {
      const tool = tools[name]
      if (tool === undefined) throw new ProblemError({ reason: 'ToolNotFound', message: `there is no tool ${name}` })
      const result = await execute(tool, args, context)
      try {
        return JSON.parse(JSON.stringify(result))
      } catch (error) {
        throw new ProblemError({ reason: 'InvalidToolResult', message: String(error) })
      }
    },
    dispose: async () => undefined,
  }
}

async function execute(tool: TestTool, args: JSONObject, context: ToolCallContext): Promise<JSONValue> {
  try {
    return await tool.execute(args, context)
  } catch (error) {
    if (error instanceof ProblemError) throw error
    throw new ProblemError({ reason: 'ToolFailed', message: error instanceof Error ? error.message : String(error) })
  }
}

/** A source whose snapshot is swapped by hand, and that counts its pins. */
export function makeSource(first: Snapshot): SnapshotSource & { swap(next: Snapshot): void; pinned(): number } {
  let current = first
  let pins = 0
  return {
    get current() {
      return current
    },
    pin: (): Pinned => {
      pins += 1
      let held = true
      return {
        snapshot: current,
        release: () => {
          if (held) pins -= 1
          held = false
        },
      }
    },
    swap: (next) => {
      current = next
    },
    pinned: () => pins,
  }
}

/** A model that answers from a script. */
export const scripted = (name: string, script: NonNullable<ModelSpec['script']>): Promise<LoadedModel> =>
  loadModel({ name, provider: 'scripted', parameters: {}, script }, undefined, openNetwork)

export type ContextInput = {
  readonly snapshot: Snapshot
  readonly kind?: 'agents' | 'teams' | 'workflows'
  readonly name: string
  readonly message: string
  readonly dispatch: RunEnvironment['dispatch']
  readonly signal?: AbortSignal
  readonly clock?: Clock
  readonly limits?: Partial<CallPolicy>
}

/** The context of a run that was asked for, with ids `run-1`, `run-2` … */
export function makeContext(input: ContextInput): RunContext {
  const { snapshot, kind = 'agents', name, message, dispatch, clock = systemClock } = input
  let ids = 0
  const newId = () => `run-${++ids}`
  const policy = { attempts: 3, backoffMs: 500, stallMs: 60_000, random: () => 0, clock, ...input.limits }
  return {
    env: { snapshot, policy, newId, dispatch },
    subject: subjectOf(snapshot, { kind, name, runId: newId(), sessionId: 'session-1', depth: 0 }),
    message,
    signal: input.signal ?? new AbortController().signal,
    deadline: Infinity,
    usage: createUsageMeter(),
  }
}

/** All events of a run, which may end by throwing. */
export async function eventsOf(source: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  try {
    for await (const event of source) events.push(event)
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error
  }
  return events
}

/** Events in one word each, `name type`, with what they carry. */
export const told = (events: readonly RunEvent[]): string[] => events.map(tellEvent)

function tellEvent(event: RunEvent): string {
  const head = `${event.run.name} ${event.type}`
  switch (event.type) {
    case 'content':
    case 'reasoning':
      return `${head} ${event.delta}`
    case 'toolStarted':
    case 'toolCompleted':
      return `${head} ${event.call.tool}`
    case 'toolFailed':
      return `${head} ${event.call.tool} ${event.error.reason}`
    case 'stepStarted':
    case 'stepCompleted':
    case 'stepSkipped':
      return `${head} ${event.step}`
    case 'stepFailed':
      return `${head} ${event.step} ${event.error.reason}`
    case 'completed':
      return `${head} ${event.result.content}`
    case 'failed':
    case 'cancelled':
      return `${head} ${event.error.reason}`
    case 'started':
      return head
  }
}

import type { ChildProcess } from 'node:child_process'
import type { JSONSchema7 } from '@ai-sdk/provider'
import { DEFAULT_TOOL_MEMORY_MIB, type EndCause } from '../../../api/index.ts'
import { createStateStore, type StateSession, type StateStore } from '../author/state.ts'
import { createToolSet } from '../in-thread/tool-set.ts'
import { createCompiler } from '../modules/compile.ts'
import type { ToolHost, ToolSet } from '../port.ts'
import { type Candidate, loadHosted, sourceOf } from './candidate.ts'
import { HostLost, notStarted } from './host/end.ts'
import { CLOSED, HostProcess } from './host/host-process.ts'
import { MemoryWatch } from './host/memory.ts'
import { type HostKind, type HostOutput, spawnHost } from './host/spawn.ts'
import { HostedSet } from './hosted-set.ts'
import { restartDelay } from './restart.ts'
import { toSleep } from './resting.ts'
import { Standby } from './standby.ts'
import { warmLoad } from './warm-load.ts'

export type ProcessHostOptions = {
  /** Where goes what code prints. */
  readonly output: HostOutput
  /** Called when a host that served died, and why. */
  readonly onRestart?: (cause: EndCause) => void
  /** Where `defineState` keeps values. */
  readonly states?: StateStore
  /** How long code that keeps ending its host waits for the next one. */
  readonly restartDelay?: typeof restartDelay
}

export type ProcessHost = ToolHost & {
  /** Resolves when a host is warm for the next load, as far as one is to come. */
  ready(): Promise<void>
  /** Resolves when none of its processes is left, some time after its signal aborted. */
  readonly closed: Promise<void>
}

/**
 * A tool host that runs the code of each version of a bundle in a child process of its own. Whatever code does to its
 * process costs the calls under way there and no more: one that is kept warm takes its place at once. It contains
 * mistakes, not malice. A bundle without code has no process.
 * @param signal ends all processes
 */
export function createProcessHost(options: ProcessHostOptions, signal: AbortSignal): ProcessHost {
  const processes = createProcesses()
  const sets = new Set<HostedSet>()
  const standby = new Standby((kind) => processes.add(kind, options.output, schemasOf(sets)))
  const compile = createCompiler()
  const { states = createStateStore() } = options
  const closed = Promise.withResolvers<void>()
  const close = async () => {
    await Promise.all([standby.close(), ...[...sets].map((set) => set.dispose())])
    await processes.close()
    closed.resolve()
  }
  signal.addEventListener('abort', () => void close(), { once: true })
  return {
    closed: closed.promise,
    ready: () => standby.ready(),
    async load(bundle, loadOptions) {
      signal.throwIfAborted()
      const { packages, hosting: { memoryMiB } = { memoryMiB: DEFAULT_TOOL_MEMORY_MIB } } = loadOptions
      const session = states.open(bundle.name)
      try {
        const started = performance.now()
        const source = await sourceOf(bundle, packages, compile)
        signal.throwIfAborted()
        // A set keeps its options for as long as it lives: with the version before it, it would keep all that ever were.
        const kept = { ...loadOptions, previous: undefined }
        const candidate = { source, session, transform: performance.now() - started, options: kept }
        if (source.program.entries.length === 0) return withoutCode(candidate)
        const set = await loadHosted(candidate, {
          useHost: (load) => standby.use({ packages, memoryMiB }, load),
          restartDelay: options.restartDelay ?? restartDelay,
          onRestart: options.onRestart ?? (() => undefined),
          disposed: (gone) => sets.delete(gone),
        })
        sets.add(set)
        await settle(session, set)
        if (loadOptions.previous instanceof HostedSet) loadOptions.previous.served()
        for (const each of toSleep(sets)) each.sleep()
        return set
      } catch (error) {
        session.close()
        throw error
      }
    },
  }
}

/** Schemas that a host is warmed up with, at most. */
const MAX_SCHEMAS = 64
/** Longest of them, as JSON: what takes long to compile is not compiled in advance, in case. */
const MAX_SCHEMA_LENGTH = 4_096

/** What the tools of the newest versions declare: the next one mostly declares the same, and to compile it takes longest. */
function schemasOf(sets: ReadonlySet<HostedSet>): JSONSchema7[] {
  const declared = [...sets].reverse().flatMap(({ tools }) => tools.map(({ parameters }) => parameters))
  return declared.slice(0, MAX_SCHEMAS).filter((schema) => JSON.stringify(schema).length <= MAX_SCHEMA_LENGTH)
}

/** The version may serve: what it has set counts. One whose states are too large is refused, and its process ends. */
async function settle(session: StateSession, set: HostedSet): Promise<void> {
  try {
    session.settle()
  } catch (error) {
    await set.dispose()
    throw error
  }
}

/** All host processes that there are. None outlives this process; where it is killed, as far as the system can see to it. */
function createProcesses() {
  const memory = new MemoryWatch()
  const warm = warmLoad()
  const running = new Set<HostProcess>()
  const killAll = () => {
    for (const host of running) host.kill(CLOSED)
  }
  return {
    /** @throws HostLost when the system starts no process and says so at once; else the host tells */
    add(kind: HostKind, output: HostOutput, schemas: readonly JSONSchema7[]): HostProcess {
      const host = new HostProcess(
        childOf(() => spawnHost(kind, output)),
        { memory, memoryMiB: kind.memoryMiB },
      )
      host.warm({ ...warm, schemas })
      if (running.size === 0) process.on('exit', killAll)
      running.add(host)
      void host.gone.then(() => {
        running.delete(host)
        if (running.size === 0) process.off('exit', killAll)
      })
      return host
    },
    async close(): Promise<void> {
      await Promise.all([...running].map((host) => host.close()))
    },
  }
}

/** @throws HostLost */
function childOf(start: () => ChildProcess): ChildProcess {
  try {
    return start()
  } catch (error) {
    throw new HostLost(notStarted(error), false)
  }
}

/** Bundles of prompts alone need no process. */
function withoutCode({ source: { trace, linker }, session, transform }: Candidate): ToolSet {
  const report = { reloaded: [], kept: [], stages: { transform, load: 0, check: 0 } }
  const nothing = { tools: new Map(), extensions: new Map(), warnings: [] }
  return createToolSet(nothing, { trace, report, warnings: linker.warnings, disposed: session.close })
}

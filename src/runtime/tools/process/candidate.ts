import { type BundleFiles, roleOf } from '../../../api/index.ts'
import type { StateSession } from '../author/state.ts'
import type { CompiledModule } from '../modules/compile.ts'
import { createLinker } from '../modules/link.ts'
import { createTrace } from '../modules/trace.ts'
import { createPace } from '../pace.ts'
import type { ToolLoadOptions } from '../port.ts'
import type { LoadMessage } from './channel/messages.ts'
import { loadProblem, lossOf, type Source } from './failures.ts'
import type { HostEvents } from './host/host-process.ts'
import { HostedSet, type HostSupply } from './hosted-set.ts'

/** A version of a bundle that is about to be loaded. */
export type Candidate = {
  readonly source: Source
  readonly session: StateSession
  /** What it took to compile it, in milliseconds. */
  readonly transform: number
  readonly options: ToolLoadOptions
}

type Compile = (path: string, content: Uint8Array) => CompiledModule

/**
 * Compiles and links the code of a bundle.
 * @throws ProblemError FileNotText, InvalidSyntax, ImportNotFound, PackageNotAllowed
 */
export async function sourceOf(bundle: BundleFiles, packages: readonly string[], compile: Compile): Promise<Source> {
  const entries = [...bundle.files.keys()].filter((path) => ['tool', 'extension'].includes(roleOf(path).role)).sort()
  const linker = createLinker(bundle, { packages, compile })
  await linker.compile(entries, createPace())
  return { bundle, linker, program: linker.program(entries), trace: createTrace(bundle) }
}

/**
 * Loads a candidate into a fresh host, which serves it from then on. A host that fails at it is ended.
 * @throws ProblemError, as `ToolHost.load`
 */
export async function loadHosted(candidate: Candidate, supply: HostSupply): Promise<HostedSet> {
  const { source, transform } = candidate
  const events = eventsOf(candidate)
  const started = performance.now()
  const { host, loaded } = await supply
    .useHost(async (fresh) => ({ host: fresh, loaded: await fresh.load(() => loadMessage(candidate, true), events) }))
    .catch((error: unknown) => {
      throw loadProblem(error, source)
    })
  const check = loaded.checkMs
  const stages = { transform, load: performance.now() - started - check, check }
  return new HostedSet({
    source,
    host,
    loaded,
    events,
    supply,
    report: { reloaded: loaded.reloaded, kept: [], stages },
    load: () => loadMessage(candidate, false),
    lost: (end) => candidate.options.onHostLost?.(lossOf(end, source)),
    closed: candidate.session.close,
  })
}

function loadMessage({ source, session, options }: Candidate, check: boolean): LoadMessage {
  const { program } = source
  return {
    type: 'load',
    program: { ...program, modules: [...program.modules.values()] },
    states: session.values(),
    timeoutMs: options.timeoutMs,
    check,
    context: { secrets: options.context?.secrets ?? {} },
  }
}

function eventsOf({ source: { linker }, session, options: { context } }: Candidate): HostEvents {
  return {
    linkDynamic: (from, specifier) => linker.dynamic(from, specifier),
    copyStates: session.copy,
    log: (line) => context?.log?.(line),
  }
}

import { core } from 'zod'
import { type BundleFiles, ProblemError, roleOf } from '../../../api/index.ts'
import { readAuthored } from '../author/authored.ts'
import { MIDFLIGHT, midflightModule } from '../author/module.ts'
import { createParameterReader } from '../author/parameters.ts'
import { runSelfTests } from '../author/self-test.ts'
import { createStateStore, type StateSession, type StateStore } from '../author/state.ts'
import { createCompiler, refusedByV8 } from '../modules/compile.ts'
import { CodeRefused, ImportFailure, ModuleTable, type Surroundings } from '../modules/evaluate.ts'
import { createLinker, type Linker } from '../modules/link.ts'
import { importPackage } from '../modules/packages.ts'
import type { Program } from '../modules/program.ts'
import { messageOf, type Trace } from '../modules/thrown.ts'
import { createTrace } from '../modules/trace.ts'
import { createPace, type Pace } from '../pace.ts'
import type { ToolHost, ToolSet } from '../port.ts'
import { createToolSet } from './tool-set.ts'
import { planNext, reportOf, sourcesOf, type Version } from './version.ts'

/**
 * A tool host that runs tool code in this thread: fast, and no fence. Code that never yields stops the process, and
 * what it leaves running (timers, sockets) goes on. A load keeps those modules of the previous version that a restart
 * would find unchanged, and has the others to itself; a version that nobody holds any more is garbage, but for what a
 * later one keeps of it. A file whose content object was compiled before is not compiled again.
 * @param states where `defineState` keeps values
 */
export function createInThreadHost(states: StateStore = createStateStore()): ToolHost {
  const compile = createCompiler()
  const parametersOf = createParameterReader(() => core)
  const versions = new WeakMap<ToolSet, Version>()
  return {
    async load(bundle, { packages, timeoutMs, previous, context }) {
      const session = states.open(bundle.name)
      try {
        const started = performance.now()
        const before = previous && versions.get(previous)
        const linker = createLinker(bundle, { packages, compile })
        const entries = entriesOf(bundle)
        // Without code there is nothing that takes long.
        const pause = entries.length === 0 ? async () => undefined : createPace()
        await linker.compile(entries, pause)
        const program = linker.program(entries)
        const graph = linker.graph()
        const plan = planNext(before, { graph, packages })
        const sources = sourcesOf(bundle, before, plan)
        const trace = createTrace({ name: bundle.name, files: sources })
        const linked = performance.now()
        const kept = before && { from: before.table, paths: plan.keep }
        const table = new ModuleTable(program, surroundingsOf(linker, session), kept)
        const source = { timeoutMs, linker, sources, trace, pause }
        const tried = await orAbandon(table, async () => {
          const loaded = await evaluateAll(table, program, source)
          const authored = readAuthored(loaded, { bundle: bundle.name, parametersOf, trace })
          const evaluated = performance.now()
          await runSelfTests(authored.tools.values(), { context, trace })
          await pause()
          return { authored, evaluated }
        })
        session.settle()
        const stages = {
          transform: linked - started,
          load: tried.evaluated - linked,
          check: performance.now() - tried.evaluated,
        }
        const report = reportOf(program, table, stages)
        const set = createToolSet(tried.authored, { trace, report, warnings: linker.warnings, disposed: session.close })
        versions.set(set, { table, graph, sources, packages })
        return set
      } catch (error) {
        session.close()
        throw error
      }
    },
  }
}

const entriesOf = ({ files }: BundleFiles): string[] =>
  [...files.keys()].filter((path) => ['tool', 'extension'].includes(roleOf(path).role)).sort()

/** A function of its own: a kept module holds on to it, and must not to the version. */
function packagesOf({ states }: StateSession): Surroundings['importPackage'] {
  let midflight: object | undefined
  return async (from, specifier) => {
    if (specifier !== MIDFLIGHT) return importPackage(from, specifier)
    midflight ??= midflightModule(states)
    return midflight
  }
}

const surroundingsOf = (linker: Linker, session: StateSession): Surroundings => ({
  importPackage: packagesOf(session),
  linkDynamic: async (from, specifier) => linker.dynamic(from, specifier),
})

type Source = {
  readonly timeoutMs: number
  readonly linker: Linker
  readonly sources: BundleFiles['files']
  readonly trace: Trace
  readonly pause: Pace
}

/** A version that is refused leaves the modules that it was to keep as they were. */
async function orAbandon<T>(table: ModuleTable, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    table.abandon()
    throw error
  }
}

async function evaluateAll(table: ModuleTable, program: Program, source: Source): Promise<Map<string, object>> {
  const { timeoutMs, pause } = source
  const loaded = new Map<string, object>()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(loadTimeout(table, timeoutMs)), timeoutMs)
  const evaluate = async () => {
    await pause()
    await table.prepare()
    await pause()
    for (const file of program.entries) loaded.set(file, await table.evaluate(file))
  }
  // Handled here also when it fails after the time is up.
  evaluate().then(resolve, (error) => reject(loadFailed(table, error, source)))
  try {
    await promise
    return loaded
  } finally {
    clearTimeout(timer)
  }
}

function loadTimeout({ evaluating: file }: ModuleTable, timeoutMs: number): ProblemError {
  return new ProblemError({
    reason: 'ToolLoadTimeout',
    message:
      file === undefined
        ? `a package did not finish loading in ${timeoutMs} ms`
        : `${file} did not finish loading in ${timeoutMs} ms: a top-level await never ends`,
    ...(file === undefined ? {} : { file }),
  })
}

function loadFailed({ evaluating: file }: ModuleTable, error: unknown, { sources, linker, trace }: Source): unknown {
  if (error instanceof CodeRefused) return refusedByV8(error.module, sources.get(error.module.path), error.cause)
  if (error instanceof ImportFailure) return linker.located(error, error.from, error.specifier)
  if (error instanceof ProblemError) return error
  const place = trace(error) ?? (file === undefined ? {} : { file })
  const message = `${file} threw while it was loaded: ${messageOf(error)}`
  return new ProblemError({ reason: 'ToolLoadFailed', message, ...place }, { cause: error })
}

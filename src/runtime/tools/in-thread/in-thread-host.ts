import { type BundleFiles, ProblemError, roleOf } from '../../../api/index.ts'
import { createParameterReader } from '../author/parameters.ts'
import { readTools, unknownFields } from '../author/tool-file.ts'
import { type CompiledModule, compileModule, refusedByV8 } from '../modules/compile.ts'
import { CodeRefused, ImportFailure, ModuleTable } from '../modules/evaluate.ts'
import { createLinker, type Linker } from '../modules/link.ts'
import { importPackage } from '../modules/packages.ts'
import type { Program } from '../modules/program.ts'
import { messageOf, type Trace } from '../modules/thrown.ts'
import { createTrace } from '../modules/trace.ts'
import type { ToolHost } from '../port.ts'
import { createToolSet } from './tool-set.ts'

/**
 * A tool host that runs tool code in this thread: fast, and no fence. Code that never yields stops the process, and
 * what it leaves running (timers, sockets) goes on. Every load has its modules to itself; a version that nobody holds
 * any more is garbage. A file whose content object was compiled before is not compiled again.
 */
export function createInThreadHost(): ToolHost {
  const compile = createCompiler()
  const parametersOf = createParameterReader()
  return {
    async load(bundle, { packages, timeoutMs }) {
      const linker = createLinker(bundle, { packages, compile })
      const files = [...bundle.files.keys()].filter((path) => roleOf(path).role === 'tool').sort()
      const program = linker.program(files)
      const trace = createTrace(bundle)
      const loaded = await evaluateAll(program, timeoutMs, { bundle, linker, trace })
      const tools = readTools(loaded, { bundle: bundle.name, parametersOf, trace })
      const unknown = [...loaded].flatMap(([file, exports]) => unknownFields(file, exports))
      return createToolSet(tools, [...linker.warnings, ...unknown], trace)
    },
  }
}

type Compile = (path: string, content: Uint8Array) => CompiledModule

/** A directory that is read again gives the same object for content that did not change. */
function createCompiler(): Compile {
  const compiled = new WeakMap<Uint8Array, { readonly path: string; readonly module: CompiledModule }>()
  return (path, content) => {
    const known = compiled.get(content)
    if (known?.path === path) return known.module
    const module = compileModule(path, content)
    compiled.set(content, { path, module })
    return module
  }
}

type Source = { readonly bundle: BundleFiles; readonly linker: Linker; readonly trace: Trace }

async function evaluateAll(program: Program, timeoutMs: number, source: Source): Promise<Map<string, object>> {
  const linkDynamic = async (from: string, specifier: string) => source.linker.dynamic(from, specifier)
  const table = new ModuleTable(program, { importPackage, linkDynamic })
  const loaded = new Map<string, object>()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(loadTimeout(table, timeoutMs)), timeoutMs)
  const evaluate = async () => {
    await table.prepare()
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
    message: `${file} did not finish loading in ${timeoutMs} ms: a top-level await never ends`,
    ...(file === undefined ? {} : { file }),
  })
}

function loadFailed({ evaluating: file }: ModuleTable, error: unknown, { bundle, linker, trace }: Source): unknown {
  if (error instanceof CodeRefused) return refusedByV8(error.module, bundle.files.get(error.module.path), error.cause)
  if (error instanceof ImportFailure) return linker.located(error, error.from, error.specifier)
  if (error instanceof ProblemError) return error
  const place = trace(error) ?? (file === undefined ? {} : { file })
  const message = `${file} threw while it was loaded: ${messageOf(error)}`
  return new ProblemError({ reason: 'ToolLoadFailed', message, ...place }, { cause: error })
}

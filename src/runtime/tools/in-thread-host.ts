import { ProblemError, roleOf } from '../../api/index.ts'
import { type CompiledModule, compileModule } from './compile.ts'
import { ModuleTable } from './evaluate.ts'
import { createModuleGraph, type ModuleGraph } from './link.ts'
import { createParameterReader } from './parameters.ts'
import type { ToolHost } from './port.ts'
import { readTools, unknownFields } from './tool-file.ts'
import { createToolSet } from './tool-set.ts'
import { createTrace, messageOf, type Trace } from './trace.ts'

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
      const graph = createModuleGraph(bundle, {
        packages,
        compile: (path, content) => compile(bundle.name, path, content),
      })
      const files = [...bundle.files.keys()].filter((path) => roleOf(path).role === 'tool').sort()
      for (const file of files) await graph.link(file)
      const trace = createTrace(bundle)
      const loaded = await evaluateAll(graph, files, timeoutMs, trace)
      const tools = readTools(loaded, { bundle: bundle.name, parametersOf, trace })
      const unknown = [...loaded].flatMap(([file, exports]) => unknownFields(file, exports))
      return createToolSet(tools, [...graph.warnings, ...unknown], trace)
    },
  }
}

type Compile = (bundle: string, path: string, content: Uint8Array) => CompiledModule

/** A directory that is read again gives the same object for content that did not change. */
function createCompiler(): Compile {
  const compiled = new WeakMap<Uint8Array, { readonly id: string; readonly module: CompiledModule }>()
  return (bundle, path, content) => {
    const id = `${bundle}/${path}`
    const known = compiled.get(content)
    if (known?.id === id) return known.module
    const module = compileModule(bundle, path, content)
    compiled.set(content, { id, module })
    return module
  }
}

async function evaluateAll(
  graph: ModuleGraph,
  files: readonly string[],
  timeoutMs: number,
  trace: Trace,
): Promise<Map<string, object>> {
  const table = new ModuleTable(graph)
  const loaded = new Map<string, object>()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(loadTimeout(table, timeoutMs)), timeoutMs)
  const evaluate = async () => {
    for (const file of files) loaded.set(file, await table.evaluate(file))
  }
  // Handled here also when it fails after the time is up.
  evaluate().then(resolve, (error) => reject(loadFailed(table, error, trace)))
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

function loadFailed({ evaluating: file }: ModuleTable, error: unknown, trace: Trace): ProblemError {
  if (error instanceof ProblemError) return error
  const place = trace(error) ?? (file === undefined ? {} : { file })
  const message = `${file} threw while it was loaded: ${messageOf(error)}`
  return new ProblemError({ reason: 'ToolLoadFailed', message, ...place }, { cause: error })
}

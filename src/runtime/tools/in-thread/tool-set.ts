import type { JSONObject, JSONValue } from '@ai-sdk/provider'
import { ProblemError } from '../../../api/reason.ts'
import type { Authored } from '../author/authored.ts'
import { toolContext } from '../author/context.ts'
import type { Extension } from '../author/extension-file.ts'
import { plainJson } from '../author/result.ts'
import type { Tool } from '../author/tool-file.ts'
import { messageOf, type Trace } from '../modules/thrown.ts'
import type { LoadReport, ToolCallContext, ToolSet } from '../port.ts'

export type ToolSetOptions = {
  readonly trace: Trace
  readonly report: LoadReport
  /** Besides those of the files. */
  readonly warnings?: readonly string[]
  /** Called once, when the set is disposed of. */
  readonly disposed?: () => void
}

const GONE = { reason: 'ToolFailed', message: 'the version of the tool was taken out of service' } as const

/** What one loaded version serves. A call that is given up on may go on in the background; nobody hears of it. */
export function createToolSet({ tools, extensions, warnings }: Authored, options: ToolSetOptions): ToolSet {
  const { trace, report } = options
  const underWay = new Set<AbortController>()
  let disposed = options.disposed
  const within = async <T>(what: string, { signal }: ToolCallContext, work: (signal: AbortSignal) => Promise<T>) => {
    const controller = new AbortController()
    underWay.add(controller)
    try {
      return await abortable(controller, signal, what, () => work(controller.signal))
    } finally {
      underWay.delete(controller)
    }
  }
  return {
    tools: [...tools.values()].map(({ description }) => description),
    extensions: [...extensions.values()].map(({ description }) => description),
    warnings: [...(options.warnings ?? []), ...warnings],
    report,
    async call(name, args, context) {
      const tool = tools.get(name)
      if (tool === undefined) throw new ProblemError({ reason: 'ToolNotFound', message: `no tool "${name}"` })
      return within(name, context, (signal) => callTool(tool, args, { ...context, signal }, trace))
    },
    async extend(file, event, context) {
      const found = extensions.get(file)
      if (found === undefined)
        throw new ProblemError({ reason: 'ExtensionFailed', message: `no extension ${file}`, file })
      return within(file, context, (signal) => runExtension(found, event, { ...context, signal }, trace))
    },
    async dispose() {
      for (const controller of underWay) controller.abort(new ProblemError(GONE))
      disposed?.()
      disposed = undefined
    },
  }
}

/** Rejects as soon as either signal aborts, whatever the work does. */
async function abortable<T>(
  controller: AbortController,
  outer: AbortSignal,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const { signal } = controller
  const passOn = () => controller.abort(outer.reason)
  signal.addEventListener('abort', () => reject(aborted(what, signal.reason)), { once: true })
  outer.addEventListener('abort', passOn, { once: true })
  try {
    if (outer.aborted) passOn()
    else work().then(resolve, reject)
    return await promise
  } finally {
    outer.removeEventListener('abort', passOn)
  }
}

function aborted(what: string, reason: unknown): ProblemError {
  if (reason instanceof ProblemError) return reason
  const message = `the call of ${what} was aborted: ${messageOf(reason)}`
  return new ProblemError({ reason: 'ToolFailed', message }, { cause: reason })
}

/** @throws ProblemError InvalidArguments, ToolFailed, InvalidToolResult, ToolResultTooLarge */
export async function callTool(
  tool: Tool,
  args: JSONObject,
  context: ToolCallContext,
  trace: Trace,
): Promise<JSONValue> {
  const { name, file } = tool.description
  const problem = (reason: 'ToolFailed' | 'InvalidToolResult', what: string, error: unknown) =>
    new ProblemError({ reason, message: `${what}: ${messageOf(error)}`, file, ...trace(error) }, { cause: error })

  const result = await run(tool, args, context).catch((error: unknown) => {
    throw isArgumentsProblem(error) ? error : problem('ToolFailed', `tool ${name} failed`, error)
  })
  try {
    return plainJson(`the result of ${name}`, result)
  } catch (error) {
    if (!(error instanceof ProblemError))
      throw problem('InvalidToolResult', `the result of ${name} cannot be read`, error)
    throw new ProblemError({ ...error.problem, file })
  }
}

const isArgumentsProblem = (error: unknown): boolean =>
  error instanceof ProblemError && error.problem.reason === 'InvalidArguments'

async function run(tool: Tool, args: JSONObject, context: ToolCallContext): Promise<unknown> {
  const input = await tool.parameters.parse(tool.description.name, args)
  context.signal.throwIfAborted()
  return tool.execute(input, toolContext(context))
}

/**
 * The event is the extension's own: what it does to it changes nothing else.
 * @throws ProblemError ExtensionFailed
 */
export async function runExtension(
  { description: { file }, execute }: Extension,
  event: JSONObject,
  context: ToolCallContext,
  trace: Trace,
): Promise<JSONValue> {
  try {
    return plainJson('the change', await execute(structuredClone(event), toolContext(context)))
  } catch (error) {
    const message = `${file} failed: ${messageOf(error)}`
    throw new ProblemError({ reason: 'ExtensionFailed', message, file, ...trace(error) }, { cause: error })
  }
}

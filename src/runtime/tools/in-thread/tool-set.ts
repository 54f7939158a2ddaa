import type { JSONObject, JSONValue } from '@ai-sdk/provider'
import { ProblemError } from '../../../api/index.ts'
import { plainJson } from '../author/result.ts'
import type { Tool } from '../author/tool-file.ts'
import { messageOf, type Trace } from '../modules/thrown.ts'
import type { ToolCallContext, ToolSet } from '../port.ts'

/** The tools of one loaded version. A call that is given up on may go on in the background; nobody hears of it. */
export function createToolSet(tools: ReadonlyMap<string, Tool>, warnings: readonly string[], trace: Trace): ToolSet {
  const underWay = new Set<AbortController>()
  return {
    tools: [...tools.values()].map(({ description }) => description),
    warnings,
    async call(name, args, context) {
      const tool = tools.get(name)
      if (tool === undefined) throw new ProblemError({ reason: 'ToolNotFound', message: `no tool "${name}"` })
      const controller = new AbortController()
      underWay.add(controller)
      try {
        return await abortable(controller, context.signal, name, () =>
          callTool(tool, args, { ...context, signal: controller.signal }, trace),
        )
      } finally {
        underWay.delete(controller)
      }
    },
    async dispose() {
      const reason = new ProblemError({
        reason: 'ToolFailed',
        message: 'the version of the tool was taken out of service',
      })
      for (const controller of underWay) controller.abort(reason)
    },
  }
}

/** Rejects as soon as either signal aborts, whatever the work does. */
async function abortable<T>(
  controller: AbortController,
  outer: AbortSignal,
  tool: string,
  work: () => Promise<T>,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const { signal } = controller
  const passOn = () => controller.abort(outer.reason)
  signal.addEventListener('abort', () => reject(aborted(tool, signal.reason)), { once: true })
  outer.addEventListener('abort', passOn, { once: true })
  try {
    if (outer.aborted) passOn()
    else work().then(resolve, reject)
    return await promise
  } finally {
    outer.removeEventListener('abort', passOn)
  }
}

function aborted(tool: string, reason: unknown): ProblemError {
  if (reason instanceof ProblemError) return reason
  const message = `the call of ${tool} was aborted: ${messageOf(reason)}`
  return new ProblemError({ reason: 'ToolFailed', message }, { cause: reason })
}

async function callTool(tool: Tool, args: JSONObject, context: ToolCallContext, trace: Trace): Promise<JSONValue> {
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
  return tool.execute(input, context)
}

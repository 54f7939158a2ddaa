import { ProblemError } from '../../../api/reason.ts'
import { abandonOnAbort } from '../../../clock.ts'
import { messageOf, type Trace } from '../modules/thrown.ts'
import type { ToolCallContext } from '../port.ts'
import { toolContext } from './context.ts'
import type { Tool } from './tool-file.ts'

/** Longest self-test, in milliseconds. */
export const SELF_TEST_MS = 5_000

export type SelfTestOptions = {
  readonly context?: Pick<ToolCallContext, 'secrets' | 'log'> | undefined
  readonly trace: Trace
  readonly limitMs?: number
  /** Told of each test before its first line runs. */
  readonly checking?: (tool: string, file: string) => void
}

/**
 * Runs the self-tests of tools side by side, each once.
 * @throws ProblemError SelfTestFailed of the first one that threw or took too long
 */
export async function runSelfTests(tools: Iterable<Tool>, options: SelfTestOptions): Promise<void> {
  const { limitMs = SELF_TEST_MS } = options
  const tested = [...tools].filter(({ selfTest }) => selfTest !== undefined)
  if (tested.length === 0) return
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(new Error(`it took longer than ${limitMs} ms`)), limitMs)
  try {
    await Promise.all(tested.map((tool) => runOne(tool, over.signal, options)))
  } finally {
    clearTimeout(timer)
    over.abort(new Error('the self-tests are over'))
  }
}

async function runOne(tool: Tool, signal: AbortSignal, { context, trace, checking }: SelfTestOptions): Promise<void> {
  const { name, file } = tool.description
  checking?.(name, file)
  try {
    const test = async () => tool.selfTest?.(toolContext({ ...context, signal }))
    await abandonOnAbort(test(), signal)
  } catch (error) {
    const message = `the self-test of tool ${name} failed: ${messageOf(error)}`
    throw new ProblemError({ reason: 'SelfTestFailed', message, file, ...trace(error) }, { cause: error })
  }
}

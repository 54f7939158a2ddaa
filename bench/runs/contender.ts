import type { Child } from '../lib/processes.ts'
import type { Task } from './load.ts'
import { ANSWER, MESSAGE, TOOL, TURNS } from './task.ts'

/** A server that does the task, one process on one core. */
export type Contender = {
  readonly name: string
  readonly url: string
  readonly child: Child
  readonly task: Task
}

const FORM = new URLSearchParams({ message: MESSAGE, stream: 'true' }).toString()

/** A streamed run by AgentOS's call, which both runtimes understand: the same bytes to each. */
export function runTask(agent: string): Task {
  return async (pool) => {
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: `/agents/${agent}/runs`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: FORM,
    })
    const text = await body.text()
    if (statusCode !== 200 || !isRight(text)) throw new Error(`wrong run (${statusCode}):\n${text}`)
  }
}

/** Whether the tool was called with its result, and the run ended with the model's answer, whole. */
function isRight(stream: string): boolean {
  const tool = dataOf(stream, 'ToolCallCompleted').at(-1)
  const end = dataOf(stream, 'RunCompleted').at(-1)
  return tool?.includes(TOOL.result) === true && end !== undefined && contentOf(end) === ANSWER
}

const dataOf = (stream: string, event: string): string[] =>
  stream.split('\n\n').flatMap((frame) => {
    const [name, data] = frame.split('\n')
    return name === `event: ${event}` && data !== undefined ? [data.slice('data: '.length)] : []
  })

function contentOf(data: string): unknown {
  const parsed: unknown = JSON.parse(data)
  return typeof parsed === 'object' && parsed !== null && 'content' in parsed ? parsed.content : undefined
}

/** The model's two turns alone, one after the other: what no runtime can be faster than. */
export function modelTask(path: string): Task {
  return async (pool) => {
    for (const turn of TURNS) {
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json' },
        body: turn,
      })
      const text = await body.text()
      if (statusCode !== 200 || !text.endsWith('data: [DONE]\n\n')) throw new Error(`wrong turn: ${text}`)
    }
  }
}

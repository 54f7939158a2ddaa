import { hasColor, type Io } from '../io.ts'
import type { ChatFrame } from './client.ts'

/** Shows one run: its text on stdout as it comes, what happens besides as dim lines on stderr. */
export interface ChatView {
  show(frame: ChatFrame): void
  /** Ends the last line. Returns how the run ended; one that broke off has failed. */
  end(): 'completed' | 'failed' | 'cancelled'
}

const COMPLETED = ['RunCompleted', 'TeamRunCompleted', 'WorkflowCompleted']
const LONGEST = 200
const shorten = (text: string): string => (text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}…`)

export function createChatView({ stdout, stderr, environment }: Io): ChatView {
  const isDim = hasColor(stderr, environment)
  let isInLine = false
  let hasText = false
  let outcome: 'completed' | 'failed' | 'cancelled' = 'failed'

  const text = (content: string) => {
    stdout.write(content)
    isInLine = content === '' ? isInLine : !content.endsWith('\n')
    hasText = true
  }
  const endLine = () => {
    if (isInLine) stdout.write('\n')
    isInLine = false
  }
  const note = (line: string) => {
    endLine()
    stderr.write(isDim ? `\u001b[2m${line}\u001b[0m\n` : `${line}\n`)
  }
  /** What only the run that was asked for does: the answer, and its end. */
  const showOwn = ({ event, data }: ChatFrame) => {
    if (event.endsWith('RunContent')) text(data.content ?? '')
    if (event.endsWith('Cancelled')) outcome = 'cancelled'
    if (!COMPLETED.includes(event)) return
    outcome = 'completed'
    if (!hasText) text(data.content ?? '')
  }
  return {
    show(frame) {
      const line = noteOf(frame.event, frame.data)
      if (line !== undefined) note(`${'  '.repeat(frame.data.nested_depth)}${line}`)
      if (frame.data.nested_depth === 0) showOwn(frame)
    },
    end() {
      endLine()
      return outcome
    },
  }
}

/** What an event is told as besides the answer's text, if at all. */
function noteOf(event: string, { tool, step_name: step = '', error_code: code = 'error', ...data }: ChatFrame['data']) {
  const message = data.error ?? data.content ?? data.reason ?? ''
  switch (event.replace(/^Team/, '')) {
    case 'ToolCallStarted':
      return `→ ${tool?.tool_name} ${shorten(JSON.stringify(tool?.tool_args))}`
    case 'ToolCallCompleted':
      return `← ${tool?.tool_name} ${shorten(tool?.result ?? '')}`
    case 'ToolCallError':
      return `✗ ${tool?.tool_name} ${code}: ${shorten(message)}`
    case 'StepStarted':
      return `step ${step}`
    case 'StepOutput':
      return `step ${step} skipped`
    case 'StepError':
      return `✗ step ${step} ${code}: ${shorten(message)}`
    case 'RunError':
    case 'WorkflowError':
      return `✗ ${code}: ${message}`
    case 'RunCancelled':
    case 'WorkflowCancelled':
      return `cancelled: ${message}`
    default:
      return undefined
  }
}

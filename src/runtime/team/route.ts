import { ProblemError } from '../../api/index.ts'
import type { RunEvent, RunResult, RunSubject } from '../run/events.ts'
import type { LoopTool, ToolOutcome } from '../run/tool-call.ts'

/** The answer of the member that was chosen; undefined when it failed, so that the leader can choose again. */
export function chosenAnswer(outcomes: readonly ToolOutcome[]): string | undefined {
  for (const outcome of outcomes) {
    if (outcome.type === 'returned') return String(outcome.result)
  }
  return undefined
}

/** Lets one member answer: while one does, and once one has, asking another fails without running it. */
export function oneAtATime(tools: readonly LoopTool[]): LoopTool[] {
  let chosen: string | undefined
  async function* choose(name: string, start: () => AsyncGenerator<RunEvent, RunResult>) {
    if (chosen !== undefined) throw alreadyChosen(chosen)
    chosen = name
    let answered = false
    try {
      const result = yield* start()
      answered = true
      return result
    } finally {
      if (!answered) chosen = undefined
    }
  }
  return tools.map((tool) =>
    tool.type === 'run'
      ? { ...tool, start: (context, message) => choose(tool.name, () => tool.start(context, message)) }
      : tool,
  )
}

const alreadyChosen = (name: string): ProblemError =>
  new ProblemError({ reason: 'ToolFailed', message: `"${name}" was chosen to answer; no other member is asked` })

/**
 * Makes the chosen member's answer the team's: its `content` becomes the team's own, everything else stays its own.
 * What the leader says itself is held back until it is clear that it chose nobody.
 */
export async function* asTeamAnswer<R>(
  source: AsyncGenerator<RunEvent, R>,
  team: RunSubject,
): AsyncGenerator<RunEvent, R> {
  let held: RunEvent[] = []
  try {
    for (;;) {
      const { done, value } = await source.next()
      if (done === true) {
        yield* held
        return value
      }
      const own = value.run.runId === team.runId
      if (own && value.type === 'content') held.push(value)
      else if (value.type === 'content' && value.run.parentRunId === team.runId) yield { ...value, run: team }
      else {
        if (own && value.type === 'toolStarted') held = []
        yield value
      }
    }
  } finally {
    await source.return(undefined as never)
  }
}

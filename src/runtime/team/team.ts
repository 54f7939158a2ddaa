import { ProblemError, type TeamSpec } from '../../api/index.ts'
import { callParameters } from '../models/index.ts'
import type { LoadedModel } from '../registry/snapshot.ts'
import { noModel } from '../run/agent.ts'
import type { RunContext } from '../run/context.ts'
import type { RunEvent, RunResult } from '../run/events.ts'
import { type Answer, lifecycle } from '../run/lifecycle.ts'
import { type Loop, runLoop } from '../run/loop.ts'
import { childTool } from '../run/tool-call.ts'
import { leaderPrompt, membersOf } from './leader.ts'
import { asTeamAnswer, chosenAnswer, oneAtATime } from './route.ts'

/** Longest run of a team, in seconds: its kind has no limit of its own, its members have theirs. */
export const TEAM_TIMEOUT_SECONDS = 3600

/**
 * Runs the team that the subject names. coordinate: the leader asks members and answers itself. route: the leader
 * chooses a member, whose answer is the team's; a leader that chooses nobody has answered itself.
 * @throws ProblemError what its last event says
 */
export function runTeam(context: RunContext): AsyncGenerator<RunEvent, RunResult> {
  const { snapshot } = context.env
  const { name } = context.subject
  const spec = snapshot.teams.get(name)?.definition.spec
  const model = snapshot.models.get(spec?.model ?? '')
  return lifecycle(context, {
    model,
    timeoutSeconds: TEAM_TIMEOUT_SECONDS,
    body: (inner) => {
      if (spec === undefined) throw teamNotFound(name)
      const loop = leaderLoop(inner, spec, model ?? noModel(spec.model))
      return spec.mode === 'route' ? route(loop) : runLoop(loop)
    },
  })
}

function leaderLoop(context: RunContext, spec: TeamSpec, model: LoadedModel): Loop {
  const members = membersOf(spec, context.env.snapshot)
  return {
    context,
    model,
    parameters: callParameters(model.spec.parameters, {}),
    system: leaderPrompt(context.subject.name, spec, members),
    instructions: spec.instructions ?? '',
    tools: members.map((member) => childTool({ ...member, tool: member.name })),
    toolChoice: 'auto',
    maxSteps: spec.maxSteps,
  }
}

const route = (loop: Loop): AsyncGenerator<RunEvent, Answer> =>
  asTeamAnswer(
    runLoop({ ...loop, tools: oneAtATime(loop.tools), toolChoice: 'required', answerIn: chosenAnswer }),
    loop.context.subject,
  )

const teamNotFound = (name: string): ProblemError =>
  new ProblemError({ reason: 'TeamNotFound', message: `teams/${name} is not served by this runtime` })

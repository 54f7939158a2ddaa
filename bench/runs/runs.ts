import { join } from 'node:path'
import type { Context } from '../lib/bench.ts'
import { pinClient } from '../lib/machine.ts'
import { type Child, until } from '../lib/processes.ts'
import type { Report } from '../lib/report.ts'
import { temporaryFolder } from '../lib/temporary.ts'
import { agentOSContenders } from './agentos.ts'
import { type Contender, modelTask } from './contender.ts'
import { serial, throughput } from './load.ts'
import { type Finding, measureRound, type Sizes } from './measure.ts'
import { midflightContender } from './midflight.ts'
import { runsReport } from './report.ts'

/** What a run costs over its model's own time, and how many one core serves, beside AgentOS. */
export async function benchRuns(context: Context): Promise<Report> {
  using home = temporaryFolder()
  const { cores, undo } = pinClient()
  try {
    const model = await startModel(context)
    const setup = { modelUrl: model.url, home: home.path, core: cores?.server }
    const midflight = await midflightContender(context, setup)
    const contenders = [midflight, ...(await agentOSContenders(context, setup))]
    const alone = modelAlone(model)
    await warmUp(contenders, alone, sizes(context))
    const findings: Finding[] = []
    for (let round = 0; round < context.rounds; round++) {
      findings.push(...(await measureRound(rotated(contenders, round), alone, sizes(context))))
      context.say(`runs: round ${round + 1} of ${context.rounds}`)
    }
    // In good order: a profile is written at the end.
    await Promise.all([...contenders, model].map(({ child }) => child.stop()))
    return runsReport(findings, { pinned: cores !== undefined })
  } finally {
    undo()
  }
}

const sizes = ({ quick }: Context): Sizes =>
  quick
    ? { serial: 30, warmUp: 30, loadMs: 1_000, inFlight: 64 }
    : { serial: 300, warmUp: 300, loadMs: 5_000, inFlight: 64 }

/** The contenders in an order that differs from round to round. */
const rotated = (contenders: readonly Contender[], round: number): Contender[] =>
  contenders.map((_, n) => contenders[(n + round) % contenders.length]).filter((each) => each !== undefined)

type Model = { readonly url: string; readonly child: Child }

async function startModel({ processes }: Context): Promise<Model> {
  const child = processes.start([process.execPath, join(import.meta.dirname, 'model.ts')])
  const url = await child.whileAlive(
    until('the model server is up', async () => /^(http\S+)\n/m.exec(child.output())?.[1]),
  )
  return { url, child }
}

function modelAlone({ url, child }: Model): Contender {
  const { origin, pathname } = new URL(url)
  return { name: 'the model alone', url: origin, child, task: modelTask(`${pathname}/chat/completions`) }
}

/** Until the compilers of all of them have seen what is to be done, under load too. */
async function warmUp(contenders: readonly Contender[], alone: Contender, of: Sizes): Promise<void> {
  for (const { url, task } of [alone, ...contenders]) {
    await serial(url, task, of.warmUp)
    await throughput(url, task, of.inFlight, of.loadMs)
  }
}

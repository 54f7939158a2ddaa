import { join } from 'node:path'
import { request } from 'undici'
import type { Context } from '../lib/bench.ts'
import { pythonWith } from '../lib/cache.ts'
import { freePort, until } from '../lib/processes.ts'
import { type Contender, runTask } from './contender.ts'
import type { Setup } from './midflight.ts'

const SERVER = join(import.meta.dirname, 'agentos_server.py')
const REQUIREMENTS = join(import.meta.dirname, 'agentos-requirements.txt')

/** AgentOS with SQLite and without a database; none when its Python packages cannot be installed. */
export async function agentOSContenders(context: Context, setup: Setup): Promise<Contender[]> {
  let python: string
  try {
    python = await pythonWith('agno', REQUIREMENTS, context.say)
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split('\n')
    context.say(`runs: AgentOS is left out, its packages cannot be installed: ${reason}`)
    return []
  }
  const database = join(setup.home, 'agentos.db')
  return [
    await start(context, setup, 'AgentOS with SQLite', [python, SERVER, database]),
    await start(context, setup, 'AgentOS without a database', [python, SERVER]),
  ]
}

type Command = readonly [python: string, server: string, ...database: string[]]

async function start(context: Context, setup: Setup, name: string, command: Command): Promise<Contender> {
  const [python, server, ...database] = command
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = context.processes.start([python, server, String(port), setup.modelUrl, ...database], {
    core: setup.core,
    cwd: setup.home,
    env: { AGNO_TELEMETRY: 'false' },
  })
  const isUp = async (): Promise<true | undefined> => {
    const { statusCode, body } = await request(`${url}/health`)
    await body.dump()
    return statusCode === 200 ? true : undefined
  }
  await child.whileAlive(until(`${name} is up`, isUp))
  return { name, url, child, task: runTask('bench') }
}

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { request } from 'undici'
import type { Context } from '../lib/bench.ts'
import { freePort, until } from '../lib/processes.ts'
import { type Contender, runTask } from './contender.ts'
import type { Setup } from './midflight.ts'

const run = promisify(execFile)

const SERVER = join(import.meta.dirname, 'agentos_server.py')
const REQUIREMENTS = join(import.meta.dirname, 'agentos-requirements.txt')

/** AgentOS with SQLite and without a database; none when its Python packages cannot be installed. */
export async function agentOSContenders(context: Context, setup: Setup): Promise<Contender[]> {
  let python: string
  try {
    python = await pythonWithAgno(context.say)
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

/** The Python of a virtual environment with the pinned packages, made once and kept in the user's cache folder. */
async function pythonWithAgno(say: Context['say']): Promise<string> {
  const requirements = await readFile(REQUIREMENTS)
  const hash = createHash('sha256').update(requirements).digest('hex').slice(0, 12)
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  const home = join(cache, 'midflight-bench', `agno-${hash}`)
  const [python, ready] = [join(home, 'bin/python'), join(home, 'installed.txt')]
  if (await exists(ready)) return python
  say(`runs: installing AgentOS into ${home}`)
  await rm(home, { recursive: true, force: true })
  await run('python3', ['-m', 'venv', home])
  await run(python, ['-m', 'pip', 'install', '--quiet', '-r', REQUIREMENTS], { maxBuffer: 2 ** 26 })
  const { stdout } = await run(python, ['-m', 'pip', 'freeze'])
  await writeFile(ready, stdout)
  return python
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

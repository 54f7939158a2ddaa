import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programPath } from '../../api/harness/binaries.ts'
import { linesOf, run } from './machine/run.ts'
import { nodeFolder } from './setup/layout.ts'
import { readSetup } from './setup/setup.ts'

/** What the API server is asked, by the file that takes the answer. */
const QUESTIONS: Readonly<Record<string, readonly string[]>> = {
  'pods.txt': ['get', 'pods', '-A', '-o', 'wide'],
  'pods.yaml': ['get', 'pods', '-A', '-o', 'yaml'],
  'events.txt': ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
  'midflight.yaml': ['get', 'agentruntimes,agents,teams,workflows', '-A', '-o', 'yaml'],
}
const TIMEOUT = '--request-timeout=20s'
const LINES = '--tail=3000'

/**
 * Keeps what the cluster is like now, the logs of all pods (of their last restart too) and of the node's programs.
 * @returns the folder, which outlives the node; undefined where there is no node
 */
export async function keepEvidence(what: string): Promise<string | undefined> {
  const setup = readSetup(nodeFolder())
  if (setup === undefined) return undefined
  const folder = await mkdtemp(join(tmpdir(), 'midflight-evidence-'))
  await writeFile(join(folder, 'test.txt'), `${what}\n${new Date().toISOString()}\n`)
  const logs = join(setup.folder, 'logs')
  if (existsSync(logs)) await cp(logs, join(folder, 'node'), { recursive: true })
  const ask = (args: readonly string[]) =>
    run(programPath('kubectl'), ['--kubeconfig', setup.kubeconfig, TIMEOUT, ...args]).catch((error) => String(error))
  for (const [file, args] of Object.entries(QUESTIONS)) await writeFile(join(folder, file), await ask(args))
  await mkdir(join(folder, 'pods'))
  const columns = 'custom-columns=:metadata.namespace,:metadata.name'
  for (const line of linesOf(await ask(['get', 'pods', '-A', '--no-headers', '-o', columns]))) {
    const [namespace = '', pod = ''] = line.trim().split(/\s+/)
    const read = (...more: string[]) => ask(['logs', '-n', namespace, pod, '--all-containers', LINES, ...more])
    await writeFile(join(folder, 'pods', `${namespace}.${pod}.log`), await read())
    const before = await read('--previous')
    if (!before.startsWith('Error')) await writeFile(join(folder, 'pods', `${namespace}.${pod}.previous.log`), before)
  }
  return folder
}

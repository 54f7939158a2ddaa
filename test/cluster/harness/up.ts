import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { programPath } from '../../api/harness/binaries.ts'
import { until } from '../../api/harness/until.ts'
import { loadPauseImage } from './images/base.ts'
import { ctr } from './images/images.ts'
import { bringUpBridge } from './machine/network.ts'
import { launch, logTail, runningPid } from './machine/process.ts'
import { run, tryRun } from './machine/run.ts'
import { type Snapshot, takeSnapshot } from './machine/snapshot.ts'
import { COMPONENTS, type Component, launchOf } from './setup/components.ts'
import { NETWORK, NODE_NAME, nodeFolder } from './setup/layout.ts'
import { type NodeSetup, prepareSetup } from './setup/setup.ts'

const BEFORE = 'before.json'
const READY_MS = 90_000
const ANOTHER = `another node is up on this machine (${NETWORK.bridge} is there): MIDFLIGHT_NODE_DIR must name its folder`

/** How the machine was before the node in this folder was first started, or undefined where there is none. */
export async function snapshotBefore(folder: string): Promise<Snapshot | undefined> {
  const file = join(folder, BEFORE)
  return existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as Snapshot) : undefined
}

/**
 * Brings the node up, or what of it is down; resolves when it is Ready. About 15 s, and less than 1 s where it is up.
 * @throws Error with the end of a program's log where that ends or the node does not become Ready within 90 s
 */
export async function bringUp(folder: string = nodeFolder()): Promise<NodeSetup> {
  await mkdir(folder, { recursive: true })
  if (!(await snapshotBefore(folder))) {
    if (existsSync(`/sys/class/net/${NETWORK.bridge}`)) throw new Error(ANOTHER)
    await writeFile(join(folder, BEFORE), JSON.stringify(await takeSnapshot(folder), null, 2))
  }
  const setup = await prepareSetup(folder)
  await bringUpBridge()
  for (const component of COMPONENTS) await startComponent(setup, component)
  await until('the node is Ready', async () => failIfEnded(setup) || isNodeReady(setup), READY_MS).catch((error) => {
    throw new Error(`${String(error)}\nkubelet:\n${logTail(folder, 'kubelet')}`)
  })
  return setup
}

/** Starts one program of the node where it does not run, and resolves when it answers. */
export async function startComponent(setup: NodeSetup, component: Component): Promise<void> {
  const { folder } = setup
  if (runningPid(folder, component) !== undefined) return
  await launch(folder, launchOf(component, setup))
  const answers = ANSWERS[component]
  if (answers === undefined) return
  await until(
    `${component} answers`,
    async () => {
      if (runningPid(folder, component) === undefined) throw new Error(`it has ended`)
      return answers(setup)
    },
    READY_MS,
  ).catch((error) => {
    throw new Error(`${component} does not start: ${String(error)}\n${logTail(folder, component)}`)
  })
}

/** Whether a program is ready for the ones that come after it. */
const ANSWERS: Partial<Record<Component, (setup: NodeSetup) => Promise<boolean>>> = {
  'kube-apiserver': async ({ kubeconfig }) =>
    (await tryRun(programPath('kubectl'), ['--kubeconfig', kubeconfig, 'get', '--raw', '/readyz'])) === 'ok',
  containerd: async ({ folder }) => {
    const isUp = await ctr(folder, ['version']).then(
      () => true,
      () => false,
    )
    if (isUp) await loadPauseImage(folder)
    return isUp
  },
}

const failIfEnded = (setup: NodeSetup): false => {
  for (const component of COMPONENTS) {
    if (runningPid(setup.folder, component) !== undefined) continue
    throw new Error(`${component} has ended:\n${logTail(setup.folder, component)}`)
  }
  return false
}

const READY = '{.status.conditions[?(@.type=="Ready")].status}'

async function isNodeReady({ kubeconfig }: NodeSetup): Promise<boolean> {
  const args = ['--kubeconfig', kubeconfig, 'get', 'node', NODE_NAME, '-o', `jsonpath=${READY}`]
  return (await run(programPath('kubectl'), args).catch(() => '')) === 'True'
}

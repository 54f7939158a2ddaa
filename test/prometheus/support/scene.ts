import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cli, startCli } from '../../../src/cli/cli.fixture.ts'
import { type Cluster, until } from '../../api/harness/index.ts'
import { read, resource, told, toolFile, WEATHER_MODEL } from '../../api/support/resource.ts'
import { ask } from '../../api/support/runtimes/in-process.ts'
import { type RuntimeProcess, startRuntimeProcesses } from '../../api/support/runtimes/process.ts'
import { adopt } from '../../api/support/scene/adopt.ts'
import { startTellingModel } from '../../api/support/telling-model.ts'
import type { Target } from './prometheus.ts'

export const NAMESPACE = 'observed'

/** Processes of an operator and of two runtimes that it drives, and what befalls them. */
export type Scene = AsyncDisposable & {
  readonly targets: readonly Target[]
  /** Agents, pushed files and files in a mount change, all for the good, and callers ask for all of it. */
  change(version: number): Promise<void>
  /** A ConfigMap, files in a mount and an Agent change for the worse, and stay so. */
  spoil(): Promise<void>
  /** A tool of a ConfigMap begins to fail, until its runtimes go back to the version before. */
  failTool(): Promise<void>
  /** A tool ends the process that it runs in. */
  crashTool(): Promise<void>
  /** Runs go on in both runtimes, and one of these is stopped; no other one comes in its place. */
  interrupt(): Promise<void>
}

/** Throws where nobody catches it. */
const CRASHING = `export default { description: 'crashes', execute: () => void setTimeout(() => { throw new Error('x') }) }\n`
const FAILING = `export default { description: 'fails', execute: () => { throw new Error('x') } }\n`
const EXTENSION = 'export default { execute: () => undefined }\n'
const DECLARED = {
  models: [WEATHER_MODEL],
  bundles: [{ name: 'files', configMap: 'files' }],
  network: { allow: ['127.0.0.1'] },
  tools: { probation: { minCalls: 2 } },
}

/** @returns it with everything served */
export async function openScene(cluster: Cluster): Promise<Scene> {
  await cluster.installCrds()
  const directory = await mkdtemp(join(tmpdir(), 'midflight-observed-'))
  const mounts = [join(directory, 'mount-0'), join(directory, 'mount-1')]
  for (const mount of mounts) await mkdir(mount)
  const mounted = (text: string) => Promise.all(mounts.map((mount) => writeFile(join(mount, 'look.tool.ts'), text)))
  await Promise.all(mounts.map((mount) => writeFile(join(mount, 'crash.tool.ts'), CRASHING)))
  await mounted(toolFile('0'))
  const flags = ['--isolation', 'process', '--drain-seconds', '0', '--final-scrape-seconds', '30']
  const [model, operator, runtimes] = await Promise.all([
    startTellingModel(),
    startOperator(cluster),
    startRuntimeProcesses(mounts.length, directory, (index) => [...flags, '--bundle', `local=${mounts[index]}`]),
  ])
  const waiting = { name: 'waiting', provider: 'openai-compatible', model: 'any', baseURL: model.url }
  await adopt(cluster, NAMESPACE, runtimes, { spec: { ...DECLARED, models: [WEATHER_MODEL, waiting] } })
  await files(cluster, { 'weather.tool.ts': toolFile('0') })
  await declare(cluster, 'slow', { instructions: 'slow', model: 'waiting' })
  const scene: Scene = {
    targets: [operator.target, ...runtimes.map(targetOf)],
    change: async (version) => {
      const text = `${version}`
      await mounted(toolFile(text))
      await files(cluster, { 'weather.tool.ts': toolFile(text), '_10_note.run_start.extension.ts': EXTENSION })
      await declare(cluster, 'support', { instructions: text, tools: ['weather'] })
      const isServed = async () => {
        const agent = await read(cluster, 'agents', NAMESPACE, 'support')
        return told(agent) === 'Ready=True/Served' && (await areServed(runtimes, text))
      }
      await until(`the Agent is served with version ${text}`, isServed, 30_000)
    },
    spoil: async () => {
      await mounted('export default {')
      await files(cluster, { 'weather.tool.ts': 'export default {' })
      await declare(cluster, 'support', { instructions: 'x', tools: ['missing'] })
      await until('it is told', async () => {
        const [agent, runtime] = await Promise.all([
          read(cluster, 'agents', NAMESPACE, 'support'),
          read(cluster, 'agentruntimes', NAMESPACE, 'default'),
        ])
        return /=False/.test(told(agent)) && /=False/.test(told(runtime))
      })
    },
    failTool: async () => {
      await files(cluster, { 'weather.tool.ts': FAILING })
      const isGoneBackFrom = async () => {
        await Promise.all(runtimes.map(({ url }) => ask(url, 'agents/support', 'weather')))
        return told(await read(cluster, 'agentruntimes', NAMESPACE, 'default')) === 'Ready=False/RevertedByProbation'
      }
      await until('it is gone back from', isGoneBackFrom, 30_000)
    },
    crashTool: async () => {
      await Promise.all(runtimes.map(({ url }) => call(url, 'crash')))
    },
    interrupt: async () => {
      const [first] = runtimes
      if (first === undefined) throw new Error('there are two')
      for (const { url } of runtimes) void ask(url, 'agents/slow', 'wait').catch(() => '')
      await until('runs are under way', () => model.waiting === runtimes.length)
      process.kill(first.pid ?? 0, 'SIGTERM')
      await until('it has ended', () => !first.isRunning)
    },
    [Symbol.asyncDispose]: async () => {
      operator.cli.child.kill('SIGKILL')
      await Promise.all([operator.cli.exit, ...runtimes.map((runtime) => runtime.kill())])
      await model[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
  return scene
}

async function startOperator(cluster: Cluster): Promise<{ cli: Cli; target: Target }> {
  const ports = ['--metrics-port', '0', '--metrics-host', '127.0.0.1']
  const cli = startCli(['operator', '--kubeconfig', cluster.kubeconfig(), ...ports])
  const [, address = ''] = await cli.sees(/^metrics {2}http:\/\/(\S+)\/metrics$/m)
  // As the chart's ServiceMonitor has it.
  const labels = { namespace: 'midflight-system', pod: 'midflight-operator-0' }
  return { cli, target: { job: 'midflight-operator-metrics', address, labels } }
}

const targetOf = ({ host, managementPort }: RuntimeProcess, index: number): Target => ({
  job: `${NAMESPACE}/midflight-runtimes`,
  address: `${host}:${managementPort + 2}`,
  labels: { namespace: NAMESPACE, pod: `runtime-${index}` },
})

async function files(cluster: Cluster, data: Readonly<Record<string, string>>): Promise<void> {
  const metadata = { namespace: NAMESPACE, name: 'files' }
  await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data })
}

const declare = async (cluster: Cluster, name: string, spec: object): Promise<void> =>
  void (await cluster.apply(resource('Agent', NAMESPACE, name, spec)))

/** Whether each runtime answers by its files and by its tools. */
async function areServed(runtimes: readonly RuntimeProcess[], text: string): Promise<boolean> {
  const answers = runtimes.map(async ({ url }) => [
    await ask(url, 'agents/support'),
    await ask(url, 'agents/support', 'weather'),
    await call(url, 'look'),
  ])
  return (await Promise.all(answers)).flat().every((answer) => answer === text)
}

/** What a tool of the mounted files answers. */
async function call(url: string, tool: string): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${url}/tools/${tool}/call`, { method: 'POST', headers, body: '{"arguments":{}}' })
  return String(((await response.json()) as { result?: unknown }).result)
}

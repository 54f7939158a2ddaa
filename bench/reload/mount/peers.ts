import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { modulesOf, pythonWith } from '../../lib/cache.ts'
import { type Files, MountedDirectory } from '../../lib/mounted-directory.ts'
import { freePort, until } from '../../lib/processes.ts'
import type { Setup } from '../part.ts'
import { type Contender, TOOL_CALL } from './contender.ts'
import { pythonFiles, toolFiles } from './files.ts'

const FOLDER = join(import.meta.dirname, '../peers')
const PLAIN = join(FOLDER, 'plain-server.ts')
const LEAST = join(FOLDER, 'least-server.ts')
const VITE = join(FOLDER, 'vite-server.ts')
const AGENT_ZERO = join(FOLDER, 'agent_zero.py')

/** Something else that takes changed files while it runs, and how it is started. */
export type Peer = {
  readonly name: string
  /** How it is configured, where that is not how it is delivered. */
  readonly setting?: string
  /** Whether it takes no swap at all: then a few are enough to see it. */
  readonly isDeaf?: true
  readonly files: (token: string) => Files
  readonly command: (at: { readonly directory: string; readonly port: number }) => readonly [string, ...string[]]
}

/** Those whose packages can be installed. */
export async function availablePeers(say: Setup['say']): Promise<readonly Peer[]> {
  const leftOut = (name: string) => (error: unknown) => {
    const [reason] = String(error instanceof Error ? error.message : error).split('\n')
    say(`reload: ${name} is left out, its packages cannot be installed: ${reason}`)
    return undefined
  }
  const modules = await modulesOf('reload-peers', FOLDER, say).catch(leftOut('Vite, tsx and nodemon'))
  const python = await pythonWith('watchdog', join(FOLDER, 'requirements.txt'), say).catch(
    leftOut("Agent Zero's mechanism"),
  )
  return [
    ...(python === undefined ? [] : agentZero(python)),
    LEAST_OF_NODE,
    NODE_WATCH,
    ...(modules === undefined ? [] : [tsx(modules), nodemon(modules), ...vite(modules)]),
  ]
}

const agentZero = (python: string): Peer[] => [
  {
    name: "Agent Zero's mechanism",
    setting: '500 ms after the last event, as described',
    files: pythonFiles,
    command: ({ directory, port }) => [python, AGENT_ZERO, String(port), directory, 'last'],
  },
  {
    name: "Agent Zero's mechanism",
    setting: 'at the first event in 500 ms, as coded',
    files: pythonFiles,
    command: ({ directory, port }) => [python, AGENT_ZERO, String(port), directory, 'first'],
  },
]

const toolIn = (directory: string): string => join(directory, 'weather.tool.ts')

const LEAST_OF_NODE: Peer = {
  name: 'the least that Node needs',
  setting: 'fs.watch, import',
  files: toolFiles,
  command: ({ directory, port }) => [process.execPath, LEAST, String(port), toolIn(directory)],
}

const NODE_WATCH: Peer = {
  name: 'node --watch',
  files: toolFiles,
  command: ({ directory, port }) => [process.execPath, '--watch', PLAIN, String(port), toolIn(directory)],
}

const tsx = (modules: string): Peer => ({
  name: 'tsx watch',
  files: toolFiles,
  command: ({ directory, port }) => [
    process.execPath,
    join(modules, 'tsx/dist/cli.mjs'),
    'watch',
    '--clear-screen=false',
    PLAIN,
    String(port),
    toolIn(directory),
  ],
})

const nodemon = (modules: string): Peer => ({
  name: 'nodemon',
  setting: 'watches the directory, for .ts',
  files: toolFiles,
  command: ({ directory, port }) => [
    process.execPath,
    join(modules, 'nodemon/bin/nodemon.js'),
    ...['--watch', directory, '--ext', 'ts', '--exec'],
    [process.execPath, PLAIN, port, toolIn(directory)].join(' '),
  ],
})

const PRESERVE = { resolve: { preserveSymlinks: true } }

function vite(modules: string): Peer[] {
  const library = join(modules, 'vite/dist/node/index.js')
  const peer = (how: 'ssr' | 'runner', config: object): Pick<Peer, 'files' | 'command'> => ({
    files: toolFiles,
    command: ({ directory, port }) => [
      process.execPath,
      ...[VITE, String(port), toolIn(directory), library, how, JSON.stringify(config)],
    ],
  })
  const setting = 'preserveSymlinks'
  return [
    { name: 'Vite, ssrLoadModule', isDeaf: true, ...peer('ssr', {}) },
    { name: 'Vite, ssrLoadModule', setting, ...peer('ssr', PRESERVE) },
    { name: 'Vite, module runner', isDeaf: true, ...peer('runner', {}) },
    { name: 'Vite, module runner', setting, ...peer('runner', PRESERVE) },
  ]
}

/** Starts a peer on a directory of its own, and waits for its first answer. */
export async function startPeer(setup: Setup, peer: Peer): Promise<Contender> {
  const directory = new MountedDirectory(await mkdtemp(join(setup.home, 'peer-')), peer.files('first.'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = setup.processes.start(peer.command({ directory: directory.path, port }))
  const isUp = async (): Promise<true | undefined> => {
    const { statusCode, body } = await request(`${url}${TOOL_CALL.path}`, { method: 'POST', body: TOOL_CALL.body })
    const text = await body.text()
    return statusCode === 200 && text.includes('first.') ? true : undefined
  }
  await child.whileAlive(until(`${peer.name} is up`, isUp))
  return {
    name: peer.name,
    url,
    child,
    directory,
    files: peer.files,
    call: TOOL_CALL,
    identity: async (client) => (await client.request({ method: 'GET', path: '/process' })).body.text(),
    rest: async () => undefined,
  }
}

// Builds etcd, Kubernetes and CoreDNS once, for the tests that need a real API server.
import { parseArgs } from 'node:util'
import { buildCluster } from './build.ts'
import { checkGo, SetupError } from './go.ts'
import { clusterFolder, isBuilt, KUBERNETES_PROGRAMS, VERSIONS } from './versions.ts'

const NAMES = Object.entries(VERSIONS).map(([name, version]) => `${name} ${version}`)
const HELP = `Builds what the tests against a real API server need, from Go modules, into the user's cache folder.

  npm run setup:cluster

  versions   ${NAMES.join(', ')}
  programs   etcd, ${KUBERNETES_PROGRAMS.join(', ')}, coredns
  folder     ${clusterFolder()}

Needs Linux and Go 1.24 or newer. About 9 minutes and 3 GB of Go's cache the first time on two cores; nothing is done
when the folder is there. It can be interrupted at any time and started again.
`

/** @returns the process's exit code */
async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { help: { type: 'boolean', short: 'h' } } })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  if (isBuilt()) {
    console.log(`${NAMES.join(', ')}: already in ${clusterFolder()}`)
    return 0
  }
  const started = performance.now()
  console.log(`building ${NAMES.join(', ')} with ${checkGo()}; about 9 minutes the first time`)
  const stopping = new AbortController()
  // npm passes on a signal that the terminal has sent already: the second must not end what cleans up.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())
  const folder = await buildCluster(stopping.signal)
  console.log(`built in ${Math.round((performance.now() - started) / 1000)} s: ${folder}`)
  return 0
}

const messageOf = (error: unknown): string => {
  if (error instanceof SetupError) return error.message
  if (error instanceof Error) return error.name === 'AbortError' ? 'interrupted: nothing was changed' : error.message
  return String(error)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(`setup:cluster: ${messageOf(error)}`)
  process.exitCode = 1
}

// Builds etcd, Kubernetes, CoreDNS and helm once, for the tests that need a real API server or a real node.
import { parseArgs } from 'node:util'
import { buildCluster } from './build.ts'
import { checkGo, SetupError } from './go.ts'
import { installPackages } from './packages.ts'
import { unpackPrometheus } from './prometheus.ts'
import { clusterFolder, isBuilt, KUBERNETES_PROGRAMS, VERSIONS } from './versions.ts'

const NAMES = Object.entries(VERSIONS).map(([name, version]) => `${name} ${version}`)
const HELP = `Builds what the tests against a real cluster need, from Go modules, into the user's cache folder.

  npm run setup:cluster
  npm run setup:cluster -- --node

  --node     also installs what a node needs (containerd, buildah and the like), by apt-get: as root, on Debian. And
             unpacks Debian's Prometheus beside the programs, for the tests of dashboards and alerts
  versions   ${NAMES.join(', ')}
  programs   etcd, ${KUBERNETES_PROGRAMS.join(', ')}, coredns, helm
  folder     ${clusterFolder()}

Needs Linux and Go 1.24 or newer. About 9 minutes and 3 GB of Go's cache the first time on two cores; nothing is done
when the folder is there. It can be interrupted at any time and started again.
`

async function build(): Promise<void> {
  if (isBuilt()) {
    console.log(`${NAMES.join(', ')}: already in ${clusterFolder()}`)
    return
  }
  const started = performance.now()
  console.log(`building ${NAMES.join(', ')} with ${checkGo()}; about 9 minutes the first time`)
  const stopping = new AbortController()
  // npm passes on a signal that the terminal has sent already: the second must not end what cleans up.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())
  const folder = await buildCluster(stopping.signal)
  console.log(`built in ${Math.round((performance.now() - started) / 1000)} s: ${folder}`)
}

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { help: { type: 'boolean', short: 'h' }, node: { type: 'boolean' } },
  })
  if (values.help) {
    console.log(HELP)
    return
  }
  if (values.node) {
    await telling(installForNode)
    await telling(preparePrometheus)
  }
  await build()
}

function installForNode(): void {
  const installed = installPackages()
  console.log(installed.length === 0 ? 'packages of a node: all here' : `installed ${installed.join(', ')}`)
}

async function preparePrometheus(): Promise<void> {
  console.log(`Prometheus: ${(await unpackPrometheus()) === 'there' ? 'already here' : 'unpacked'}`)
}

/** What cannot be had leaves the rest worth building: an API server needs none of it. */
async function telling(step: () => void | Promise<void>): Promise<void> {
  try {
    await step()
  } catch (error) {
    console.error(`setup:cluster: ${messageOf(error)}`)
    process.exitCode = 1
  }
}

const messageOf = (error: unknown): string => {
  if (error instanceof SetupError) return error.message
  if (error instanceof Error) return error.name === 'AbortError' ? 'interrupted: nothing was changed' : error.message
  return String(error)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(`setup:cluster: ${messageOf(error)}`)
  process.exitCode = 1
}

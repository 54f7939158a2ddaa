// Runs the tests that need a real node, and brings that up and takes it down.
import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { programPath } from '../test/api/harness/binaries.ts'
import { takeDown } from '../test/cluster/harness/down.ts'
import { loadMidflight } from '../test/cluster/harness/images/midflight.ts'
import { unmetRequirement } from '../test/cluster/harness/requirements.ts'
import { nodeFolder } from '../test/cluster/harness/setup/layout.ts'
import { bringUp } from '../test/cluster/harness/up.ts'
import { whyNoNode } from './setup-cluster/packages.ts'

const ROOT = join(import.meta.dirname, '..')
const IS_CI = process.env.CI === 'true'

const HELP = `Runs the tests of test/cluster on a real Kubernetes node: kubelet, containerd and the rest, as processes of this
machine.

  npm run test:cluster [-- PATH...] [--down]
  npm run test:cluster -- up
  npm run test:cluster -- down

  PATH       only test files whose path matches
  --down     take the node down after the tests; with CI=true it always is
  up         only bring the node up, with the image of the sources, and say how to use it
  down       only take the node down: its processes, pods, mounts, network and files

Needs root on Linux. What is missing is set up first (npm run setup:cluster -- --node). The node stays up and is used
again the next time, in ${nodeFolder()}
unless MIDFLIGHT_NODE_DIR names another folder. The image is built anew only when the sources have changed;
MIDFLIGHT_TEST_IMAGE names one of the node's images to use instead.
`

type Counts = { passed: number; failed: number; skipped: number }

/** @returns why there can be no node here; undefined where there can, with everything set up */
function setUp(): string | undefined {
  const reason = whyNoNode()
  if (reason !== undefined || unmetRequirement() === undefined) return reason
  spawnSync(process.execPath, [join(ROOT, 'scripts/setup-cluster/main.ts'), '--node'], { stdio: 'inherit' })
  return unmetRequirement()
}

/** Brings the node up and loads the image. @returns the image's name and the node's kubeconfig */
async function prepareNode(): Promise<{ image: string; kubeconfig: string }> {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  const { folder, kubeconfig } = await bringUp()
  console.log(`node: Ready after ${seconds()}, in ${folder}`)
  const image = process.env.MIDFLIGHT_TEST_IMAGE || (await loadMidflight(folder))
  console.log(`image: ${image} after ${seconds()}`)
  return { image, kubeconfig }
}

/** @returns what its last line counts; a run that breaks off without one is a failure */
async function runJest(filters: readonly string[], image: string): Promise<Counts> {
  const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning']
  const jest = [join(ROOT, 'node_modules/jest/bin/jest.js'), '--config', join(ROOT, 'scripts/jest/cluster.config.js')]
  const child = spawn(process.execPath, [...flags, ...jest, '--runInBand', ...filters], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, MIDFLIGHT_TEST_IMAGE: image },
  })
  const { promise, resolve } = Promise.withResolvers<number>()
  child.on('close', (code) => resolve(code ?? 1))
  let counts: Counts | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    const [, passed, failed, skipped = 0] = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(line) ?? []
    if (passed === undefined) console.log(line)
    else counts = { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) }
  }
  const isFailed = (await promise) !== 0
  const told = counts ?? { passed: 0, failed: 0, skipped: 0 }
  return isFailed && told.failed === 0 ? { ...told, failed: 1 } : told
}

/** @returns how many tests the leftovers count for: one, where there are some */
async function tearDown(): Promise<number> {
  const leftovers = await takeDown()
  for (const line of leftovers) console.error(`left behind: ${line}`)
  console.log(
    leftovers.length === 0 ? 'node: down, and nothing of it is left' : 'node: down, and not all of it is gone',
  )
  return leftovers.length === 0 ? 0 : 1
}

async function test(filters: readonly string[], isDownAfter: boolean): Promise<Counts> {
  const reason = setUp()
  if (reason !== undefined) {
    console.error(`${IS_CI ? 'failed' : 'skipped'}: ${reason}`)
    return { passed: 0, failed: IS_CI ? 1 : 0, skipped: IS_CI ? 0 : 1 }
  }
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 }
  try {
    Object.assign(counts, await runJest(filters, (await prepareNode()).image))
  } catch (error) {
    console.error(`test:cluster: ${error instanceof Error ? error.message : error}`)
    counts.failed += 1
  }
  if (isDownAfter) counts.failed += await tearDown()
  return counts
}

async function up(): Promise<void> {
  const reason = setUp()
  if (reason !== undefined) throw new Error(reason)
  const { image, kubeconfig } = await prepareNode()
  const [repository, tag] = image.split(':')
  console.log(`
  export KUBECONFIG=${kubeconfig} PATH=${join(programPath('kubectl'), '..')}:$PATH
  helm … --set image.repository=${repository} --set image.tag=${tag} --set image.pullPolicy=Never
`)
}

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' }, down: { type: 'boolean', default: false } },
  })
  if (values.help) return console.log(HELP)
  if (positionals[0] === 'up') return up()
  if (positionals[0] === 'down') {
    process.exitCode = await tearDown()
    return
  }
  const { passed, failed, skipped } = await test(positionals, values.down || IS_CI)
  process.exitCode = failed === 0 ? 0 : 1
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(`test:cluster: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}

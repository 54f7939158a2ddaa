import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { until } from './until.ts'

const ROOT = join(import.meta.dirname, '../../..')
const SETUP = [join(ROOT, 'scripts/setup-cluster/main.ts')]

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midflight-setup-'))
  await mkdir(join(folder, 'bin'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** What the setup finds as `go`: it says a version, writes what `-o` or GOBIN names, and does `step` before each. */
async function makeGo({ version = 'go1.24.0', step = '' } = {}) {
  const file = join(folder, 'bin/go')
  const script = `#!/bin/sh
if [ "$1" = env ]; then echo ${version}; exit; fi
echo "$@" >> ${folder}/calls
echo "example.com/some/package" >&2
${step}
previous=
for argument in "$@"; do [ "$previous" = -o ] && echo program > "$argument"; previous=$argument; done
case "$*" in install*coredns*) echo program > "$GOBIN/coredns";; install*helm*) echo program > "$GOBIN/helm";; esac
exit 0
`
  await writeFile(file, script)
  await chmod(file, 0o755)
}

const cache = () => join(folder, 'cache/midflight')

/** A process of Node with only the made `go`, and an empty cache of its own. */
function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { PATH: `${join(folder, 'bin')}:/usr/bin:/bin`, XDG_CACHE_HOME: join(folder, 'cache'), HOME: folder, ...env },
  })
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; output: string }>()
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => {
      output += piece.toString()
    })
  }
  child.on('close', (code) => resolve({ code, output }))
  return { child, ended: promise }
}
const run = (args: readonly string[], env?: Record<string, string>) => start(args, env).ended

describe('npm run setup:cluster', () => {
  test('builds every program, says what it does, and the second time does nothing', async () => {
    await makeGo()
    const first = await run(SETUP)
    expect(first).toMatchObject({ code: 0, output: expect.stringContaining('kubelet 1.34.4: done in') })
    const [name = '', ...others] = await readdir(cache())
    expect([name, others]).toEqual([expect.stringMatching(/^cluster-[0-9a-f]{12}$/), []])
    expect((await readdir(join(cache(), name))).sort()).toEqual([
      ...['coredns', 'etcd', 'helm', 'kube-apiserver', 'kube-controller-manager', 'kube-proxy', 'kube-scheduler'],
      ...['kubectl', 'kubelet', 'versions.json'],
    ])
    expect(await readFile(join(cache(), name, 'versions.json'), 'utf8')).toMatch(
      /"kubernetes":"1\.34\.4","etcd":"3\.6\.4","coredns":"1\.12\.4","helm":"3\.19\.0"/,
    )
    const calls = await readFile(join(folder, 'calls'), 'utf8')
    expect(await run(SETUP)).toEqual({ code: 0, output: expect.stringContaining('already in') })
    expect(await readFile(join(folder, 'calls'), 'utf8')).toBe(calls)
  })

  test('run twice at once leaves one whole build', async () => {
    await makeGo()
    const both = await Promise.all([run(SETUP), run(SETUP)])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(await readdir(cache())).toHaveLength(1)
  })

  test('leaves nothing of a build that fails, and shows what Go said', async () => {
    await makeGo({ step: 'case "$*" in *etcd*) echo "no space left" >&2; exit 1;; esac' })
    expect(await run(SETUP)).toEqual({ code: 1, output: expect.stringContaining('no space left') })
    expect(await readdir(cache())).toEqual([])
  })

  test('leaves nothing of a build that is interrupted', async () => {
    await makeGo({ step: 'case "$*" in *kubelet\\ *) exec sleep 60;; esac' })
    const { child, ended } = start(SETUP)
    await until('a build is under way', () => existsSync(join(folder, 'calls')))
    for (const signal of ['SIGINT', 'SIGINT'] as const) child.kill(signal)
    expect(await ended).toEqual({ code: 1, output: expect.stringContaining('interrupted') })
    expect(await readdir(cache())).toEqual([])
  })

  test('removes what was abandoned a day ago, and nothing younger', async () => {
    await makeGo()
    const old = new Date(Date.now() - 25 * 60 * 60 * 1000)
    for (const name of ['.building-old', '.building-new']) await mkdir(join(cache(), name), { recursive: true })
    await utimes(join(cache(), '.building-old'), old, old)
    await run(SETUP)
    expect((await readdir(cache())).filter((name) => name.startsWith('.'))).toEqual(['.building-new'])
  })

  test.each([
    ['is missing', undefined, 'there is no `go` on the PATH'],
    ['is too old', 'go1.23.9', "Go 1.24 or newer is needed to build the cluster's programs; this is go1.23.9"],
  ])('names the fix where Go %s', async (_what, version, message) => {
    if (version) await makeGo({ version })
    const { code, output } = await run(SETUP, { PATH: join(folder, 'bin') })
    expect(code).toBe(1)
    expect(output).toContain(message)
    expect(output).toContain('Install Go 1.24 or newer (https://go.dev/doc/install)')
  })

  test('says in one line why a node cannot be set up, and builds all the same', async () => {
    await makeGo()
    const { code, output } = await run([...SETUP, '--node'], { PATH: join(folder, 'bin') })
    expect(code).toBe(1)
    expect(output).toMatch(/^setup:cluster: a node needs (root|Linux|containerd, .*no apt-get)[^\n]*$/m)
    expect(await readdir(cache())).toEqual([expect.stringMatching(/^cluster-/)])
  })

  test('explains itself', async () => {
    const { code, output } = await run([...SETUP, '--help'])
    expect(code).toBe(0)
    expect(output).toContain('npm run setup:cluster')
    expect(output).toContain(cache())
    expect(await run([...SETUP, '--nonsense'])).toEqual({ code: 1, output: expect.stringContaining("'--nonsense'") })
  })
})

describe('a suite that needs a cluster, where none is built', () => {
  const jest = [
    ...['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'],
    ...['--runTestsByPath', 'test/api/harness.test.ts'],
  ]

  test('is skipped, and says in one line why', async () => {
    const { code, output } = await run(jest)
    expect(code).toBe(0)
    expect(output).toContain(
      'skipped: a real API server: needs a real API server, which npm run setup:cluster builds\n',
    )
    expect(output).toMatch(/\n0 passed, 0 failed, \d+ skipped\n$/)
  })

  test('fails with CI=true', async () => {
    const { code, output } = await run(jest, { CI: 'true' })
    expect(code).toBe(1)
    expect(output).toMatch(/\n0 passed, 2 failed\n$/)
  })
})

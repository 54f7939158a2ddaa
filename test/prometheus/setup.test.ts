import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'

const ROOT = join(import.meta.dirname, '../..')
const UNPACK = [
  '--input-type=module',
  '--eval',
  `import { unpackPrometheus } from '${join(ROOT, 'scripts/setup-cluster/prometheus.ts')}'
try { console.log(await unpackPrometheus()) } catch (error) { console.log(error.name + ': ' + error.message); process.exitCode = 1 }`,
]

jest.setTimeout(30_000)
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midflight-setup-'))
  await mkdir(join(folder, 'bin'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const cache = () => join(folder, 'cache/midflight')

async function makeProgram(name: string, script: string): Promise<void> {
  await writeFile(join(folder, 'bin', name), `#!/bin/sh\necho "${name} $*" >> ${folder}/calls\n${script}\n`)
  await chmod(join(folder, 'bin', name), 0o755)
}
const calls = async () => (await readFile(join(folder, 'calls'), 'utf8')).trim().split('\n')

/** A Debian whose lists of packages may have to be fetched first. */
async function makeDebian({ knows = true, step = '' } = {}): Promise<void> {
  const lists = `${folder}/lists`
  if (knows) await writeFile(lists, '')
  await makeProgram(
    'apt-get',
    `case "$1" in update) : > ${lists};; download) [ -e ${lists} ] || { echo "E: Unable to locate" >&2; exit 100; }; : > prometheus_1.deb;; esac`,
  )
  await makeProgram(
    'dpkg-deb',
    `${step}\nmkdir -p "$3/usr/bin"; : > "$3/usr/bin/prometheus"; : > "$3/usr/bin/promtool"`,
  )
}

/** Runs Node with only the made programs and an empty cache of its own. */
function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const path = `${join(folder, 'bin')}:/usr/bin:/bin`
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { PATH: path, XDG_CACHE_HOME: join(folder, 'cache'), HOME: folder, ...env },
  })
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; output: string }>()
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => {
      output += piece.toString()
    })
  }
  child.on('close', (code) => resolve({ code, output }))
  return promise
}

describe('Prometheus', () => {
  test('is unpacked once, and nothing is left beside it', async () => {
    await makeDebian()
    expect(await run(UNPACK)).toEqual({ code: 0, output: 'unpacked\n' })
    expect(await readdir(cache())).toEqual(['prometheus'])
    const before = await calls()
    expect(await run(UNPACK)).toEqual({ code: 0, output: 'there\n' })
    expect(await calls()).toEqual(before)
  })

  test('is fetched after the lists of packages, where these do not know it', async () => {
    await makeDebian({ knows: false })
    expect(await run(UNPACK)).toMatchObject({ code: 0 })
    expect((await calls()).filter((call) => call.startsWith('apt-get'))).toEqual([
      'apt-get --version',
      'apt-get download -q prometheus',
      'apt-get update -q',
      'apt-get download -q prometheus',
    ])
  })

  test('unpacked twice at once is there', async () => {
    await makeDebian()
    const both = await Promise.all([run(UNPACK), run(UNPACK)])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(await readdir(cache())).toEqual(['prometheus'])
  })

  test('leaves nothing of a package that cannot be unpacked, and says what was said', async () => {
    await makeDebian({ step: 'echo "unexpected end of file" >&2; exit 2' })
    const { code, output } = await run(UNPACK)
    expect(code).toBe(1)
    expect(output).toMatch(/^Error: dpkg-deb --extract .* failed: unexpected end of file\n$/)
    expect(await readdir(cache())).toEqual([])
  })

  test('is not to be had without apt-get, which is said in one line', async () => {
    const { code, output } = await run(UNPACK, { PATH: join(folder, 'bin') })
    expect(code).toBe(1)
    expect(output).toMatch(/^Error: no Prometheus: .*there is no apt-get\n$/)
  })
})

describe('a suite that needs Prometheus, where there is none', () => {
  const suite = [
    ...['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'],
    ...['--runTestsByPath', 'test/prometheus/rules.test.ts'],
  ]

  test('is skipped, and says in one line why', async () => {
    const { code, output } = await run(suite)
    expect(code).toBe(0)
    expect(output).toContain('skipped: the alerts: needs Prometheus, which npm run setup:cluster -- --node unpacks\n')
    expect(output).toMatch(/\n0 passed, 0 failed, \d+ skipped\n$/)
  })

  test('fails with CI=true', async () => {
    const { code, output } = await run(suite, { CI: 'true' })
    expect(code).toBe(1)
    expect(output).toMatch(/\n0 passed, 1 failed\n$/)
  })
})

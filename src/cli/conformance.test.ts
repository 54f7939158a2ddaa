import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { createAuthority } from '../../test/api/harness/pki.ts'
import { type RuntimeState, runtimeState } from '../api/index.ts'
import { type Cli, runHere, startCli } from './cli.fixture.ts'

const TOKEN = 'canary-token-6f2a'
const TIMEOUT = 30_000
let folder: string
let tokenFile: string
const running: Cli[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conformance-'))
  tokenFile = join(folder, 'token')
  await writeFile(tokenFile, `${TOKEN}\n`)
})
afterEach(async () => {
  for (const cli of running.splice(0)) {
    cli.child.kill('SIGTERM')
    await cli.exit
  }
})
afterAll(() => rm(folder, { recursive: true }))

async function startRuntime(...flags: string[]): Promise<{ cli: Cli; url: string; health: string }> {
  const ports = ['--port', '0', '--metrics-port', '0', '--management-port', '0']
  const cli = startCli(['runtime', ...ports, '--management-token-file', tokenFile, ...flags])
  running.push(cli)
  const [, url = ''] = await cli.sees(/management {2}(\S+)/)
  const [, health = ''] = await cli.sees(/metrics {2}(\S+)\/metrics/)
  return { cli, url, health }
}

const authorized = { headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' } }
const stateOf = async (url: string): Promise<RuntimeState> =>
  runtimeState.parse(await (await fetch(`${url}/management/v1/state`, authorized)).json())

describe('midflight conformance against midflight runtime', () => {
  test(
    'passes over HTTP, leaves nothing behind, and no token is in any line',
    async () => {
      const { cli, url } = await startRuntime()
      const before = await stateOf(url)
      const { code, stdout } = await runHere(['conformance', '--url', url, '--token-file', tokenFile])
      expect(stdout).not.toContain('FAIL')
      expect(stdout).toMatch(/\n\d+ checks, 0 failed\n$/)
      expect(code).toBe(0)
      const { items, bundles, secrets, pins, tools } = await stateOf(url)
      expect({ items, bundles, secrets, pins, tools }).toEqual({
        items: before.items,
        bundles: {},
        secrets: {},
        pins: {},
        tools: [],
      })
      expect(`${cli.stdout()}${cli.stderr()}${stdout}`).not.toContain(TOKEN)
    },
    TIMEOUT,
  )

  test(
    'passes over TLS with a name that is not the address, and tells its results as JSON',
    async () => {
      const authority = await createAuthority(folder)
      const { certFile, keyFile } = await authority.server('runtime', ['default.agents.runtime.midflight'])
      const { url } = await startRuntime('--management-cert', certFile, '--management-key', keyFile)
      expect(url).toMatch(/^https:/)
      const tls = ['--ca-file', authority.caFile, '--server-name', 'default.agents.runtime.midflight']
      const { code, stdout } = await runHere(['conformance', '--url', url, '--token-file', tokenFile, ...tls, '--json'])
      const result = JSON.parse(stdout)
      expect(result).toMatchObject({ url, failed: 0 })
      expect(result.checks.every(({ ok }: { ok: boolean }) => ok)).toBe(true)
      expect(code).toBe(0)
    },
    TIMEOUT,
  )

  test(
    'says that the token is refused',
    async () => {
      const { url } = await startRuntime()
      const other = join(folder, 'other')
      await writeFile(other, 'another token')
      const { code, stderr } = await runHere(['conformance', '--url', url, '--token-file', other])
      expect([code, stderr]).toEqual([1, expect.stringContaining('the token is refused (HTTP 401)')])
    },
    TIMEOUT,
  )

  test(
    'refuses a runtime that is claimed or holds items, unless forced',
    async () => {
      const { url } = await startRuntime()
      const { bootId } = await stateOf(url)
      const body = JSON.stringify({ fence: 1, target: { bootId }, claim: 'somebody', mode: 'activate' })
      await fetch(`${url}/management/v1/apply`, { method: 'POST', body, ...authorized })
      const refused = await runHere(['conformance', '--url', url, '--token-file', tokenFile])
      expect(refused.code).toBe(1)
      expect(refused.stderr).toContain('is claimed by somebody: give one that nobody uses, or --force')
      expect(await stateOf(url)).toMatchObject({ claimedBy: 'somebody', fence: 1 })
      const forced = await runHere(['conformance', '--url', url, '--token-file', tokenFile, '--force'])
      expect(forced.stdout).toContain(' 0 failed')
    },
    TIMEOUT,
  )
})

describe('midflight runtime with a management token', () => {
  test(
    'is ready once a whole sync was processed, tells its pod, and takes mounted bundles',
    async () => {
      const mount = join(folder, 'mount')
      await mkdir(join(mount, 'prompts'), { recursive: true })
      await writeFile(join(mount, 'prompts', 'a.md'), 'hello')
      const { cli, url, health } = await startRuntime('--bundle', `files=${mount}`, '--pod-uid', 'uid-1')
      expect((await fetch(`${health}/readyz`)).status).toBe(503)
      const state = await stateOf(url)
      expect(state).toMatchObject({ podUid: 'uid-1', fence: 0, complete: false, bundles: { files: {} } })
      expect(state).not.toHaveProperty('claimedBy')
      const { bootId } = state
      const call = { fence: 1, target: { bootId }, claim: 'x', mode: 'activate', complete: { expected: 0 } }
      const answer = await fetch(`${url}/management/v1/apply`, {
        method: 'POST',
        body: JSON.stringify(call),
        ...authorized,
      })
      expect(await answer.json()).toMatchObject({ complete: true })
      expect((await fetch(`${health}/readyz`)).status).toBe(200)
      const lines = cli.stderr().trimEnd().split('\n')
      expect(lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual([
        'Hot-reload manager initialized',
        'Hot-reload file watcher started',
        'Hot-reload system initialized',
      ])
    },
    TIMEOUT,
  )

  test(
    'takes a changed token within about a second',
    async () => {
      const { url } = await startRuntime()
      await writeFile(tokenFile, 'another')
      const status = async () => (await fetch(`${url}/management/v1/state`, authorized)).status
      const end = performance.now() + 5_000
      while ((await status()) !== 401 && performance.now() < end) await new Promise((resolve) => setImmediate(resolve))
      expect(await status()).toBe(401)
      await writeFile(tokenFile, `${TOKEN}\n`)
    },
    TIMEOUT,
  )

  test.each([
    [['--management-port', '1'], '--management-port needs --management-token-file'],
    [['--management-host', '::1'], '--management-host needs --management-token-file'],
    [['--management-cert', 'x'], '--management-cert needs --management-token-file'],
    [
      ['--management-token-file', 'x', '--definitions', 'y'],
      '--definitions cannot be given with --management-token-file',
    ],
    [['--management-token-file', 'x', '--management-cert', 'y'], '--management-cert needs --management-key'],
    [['--management-token-file', 'x', '--management-key', 'y'], '--management-key needs --management-cert'],
  ])('%j is refused with the fix, exit 2', async (flags, message) => {
    const { code, stderr } = await runHere(['runtime', ...flags])
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })

  test('a token file that is missing is an error that names it', async () => {
    const { code, stderr } = await runHere(['runtime', '--management-token-file', join(folder, 'none')])
    expect(stderr).toContain('cannot be read or is empty: put the token into it')
    expect(code).toBe(1)
  })
})

test('midflight conformance says what it does and what it needs', async () => {
  const help = await runHere(['conformance', '--help'])
  expect(help.stdout).toContain('Example:\n  midflight conformance --url')
  const missing = await runHere(['conformance'])
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('--token-file is missing')])
  const nobody = await runHere(['conformance', '--url', 'http://127.0.0.1:1999', '--token-file', tokenFile])
  expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining('no runtime answers there')])
  expect(await readFile(tokenFile, 'utf8')).toContain(TOKEN)
})

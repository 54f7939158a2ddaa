import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import { type Cli, QUICKSTART, runHere, startCli } from './cli.fixture.ts'

const ANY_PORTS = ['--port', '0', '--metrics-port', '0']
const TIMEOUT = 20_000

describe('the command line', () => {
  test.each([
    [['dev', QUICKSTART, '--prot', '1'], 'Did you mean --port?'],
    [['vaildate', 'x'], 'Did you mean validate?'],
    [['dev'], "missing required argument 'dir'"],
    [['dev', '/nowhere/at/all'], '/nowhere/at/all does not exist'],
    [['dev', QUICKSTART, '--port', 'http'], '--port must be a number'],
    [['dev', QUICKSTART, '--port', ''], '--port must be a number'],
    [['dev', QUICKSTART, '--host', '0.0.0.0'], '--host 0.0.0.0 is reachable from other machines'],
    [['runtime', '--host', '0.0.0.0'], '--auth-key-file'],
    [['runtime', '--isolation', 'thread'], 'must be process'],
    [['chat', 'x', '--url', 'http://x', '-n', 'team'], '--url and --namespace cannot go together'],
    [['status', '-A', '-n', 'team'], '--namespace and --all-namespaces cannot go together'],
    [['status', '--watch', '--wait'], '--watch and --wait cannot go together'],
    [['status', 'agents', 'pods/x'], '"pods/x" must be KIND or KIND/NAME'],
    [['status', '--timeout', '60'], '--timeout must be a duration such as 60s or 5m'],
    [['status', '-o', 'yaml'], '--output must be one of table, json'],
    [['get', 'nothing'], 'with KIND one of agentruntime, agent, team, workflow, pods, bundles, models, tools'],
    [['doctor', '-n', 'Team'], '--namespace must be the name of a namespace'],
    [['doctor'], '--kubeconfig is missing'],
  ])(
    '%j is refused with the fix, exit 2',
    async (args, message) => {
      const { code, stderr } = await runHere(args)
      expect(stderr).toContain(message)
      expect(code).toBe(2)
    },
    TIMEOUT,
  )

  test('chat says what to do when nothing listens, exit 1', async () => {
    const { code, stderr } = await runHere(['chat', 'x', '--url', 'http://127.0.0.1:1999'])
    expect(stderr).toContain('start it with npm start')
    expect(code).toBe(1)
  })

  test.each(['status', 'get', 'doctor'])(
    '%s --help says what it shows and has examples',
    async (command) => {
      const { code, stdout } = await runHere([command, '--help'])
      expect(stdout).toContain(`Examples:\n  midflight ${command}`)
      expect(stdout).toContain('--kubeconfig <file>')
      expect(code).toBe(0)
    },
    TIMEOUT,
  )

  test.each(['dev', 'runtime', 'chat', 'validate', 'crds', 'conformance'])(
    '%s --help has an example',
    async (command) => {
      const { code, stdout } = await runHere([command, '--help'])
      expect(stdout).toContain(`Example:\n  midflight ${command}`)
      expect(code).toBe(0)
    },
    TIMEOUT,
  )

  test(
    '--version is the package’s',
    async () => {
      expect(await runHere(['--version'])).toEqual({ code: 0, stdout: '0.1.0\n', stderr: '' })
    },
    TIMEOUT,
  )

  test(
    'crds prints one CRD per kind',
    async () => {
      const { stdout } = await runHere(['crds'])
      const names = parseAllDocuments(stdout).map((document) => document.getIn(['metadata', 'name']))
      expect(names).toEqual(['agentruntimes', 'agents', 'teams', 'workflows'].map((name) => `${name}.midflight.dev`))
    },
    TIMEOUT,
  )

  test(
    'the bin runs in a checkout',
    () => {
      const bin = join(import.meta.dirname, '../../bin/midflight.js')
      const { status, stdout } = spawnSync(process.execPath, [bin, '--help'], { encoding: 'utf8', env: {} })
      expect(stdout).toContain('Usage: midflight')
      expect(status).toBe(0)
    },
    TIMEOUT,
  )
})

describe('validate', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'midflight-validate-'))
    await cp(QUICKSTART, dir, { recursive: true })
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  test(
    'counts what is sound',
    async () => {
      expect(await runHere(['validate', dir])).toEqual({
        code: 0,
        stdout: 'ok: 3 agents, 1 team, 1 workflow, 1 tool, 1 prompt\n',
        stderr: '',
      })
      expect((await runHere(['validate', join(dir, 'agents.yaml')])).code).toBe(0)
    },
    TIMEOUT,
  )

  test(
    'prints each problem with place and code, exit 1',
    async () => {
      const agent = 'apiVersion: midflight.dev/v1alpha1\nkind: Agent\nmetadata: {name: x}\nspec:\n  maxSteps: many\n'
      await writeFile(join(dir, 'bad.yaml'), agent)
      await writeFile(join(dir, 'prompts/bad.md'), '{{include "missing.md"}}')
      const { code, stdout } = await runHere(['validate', dir])
      expect(stdout).toContain(`InvalidSpec ${join(dir, 'bad.yaml')}:5:13`)
      expect(stdout).toContain('> 5 |   maxSteps: many')
      expect(stdout).toContain(`IncludeNotFound ${join(dir, 'prompts/bad.md')}:1:`)
      expect(code).toBe(1)
    },
    TIMEOUT,
  )
})

describe('dev', () => {
  let dir: string
  let cli: Cli
  let url: string

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'midflight-dev-'))
    await cp(QUICKSTART, dir, { recursive: true })
    cli = startCli(['dev', dir, ...ANY_PORTS])
    url = (await cli.sees(/API +(\S+)/))[1] ?? ''
    await cli.sees(/Ctrl-C stops/)
  }, TIMEOUT)
  afterAll(async () => {
    cli.child.kill('SIGKILL')
    await rm(dir, { recursive: true, force: true })
  })

  test(
    'says what was loaded and what to try, and what to try gets a streamed answer with a tool call',
    async () => {
      expect(cli.stdout()).toContain('3 agents     concierge, support, writer')
      const curl = /curl -N (\S+) -F message="(.+)"/.exec(cli.stdout())
      const form = new FormData()
      form.set('message', curl?.[2] ?? '')
      const response = await fetch(curl?.[1] ?? '', { method: 'POST', body: form })
      const stream = await response.text()
      expect(stream).toContain('event: ToolCallCompleted')
      expect(stream).toContain('event: RunContent')

      const chat = /npm run chat -- (\S+) --message "(.+)" --url (\S+)/.exec(cli.stdout())
      const [, agent = '', message = '', at = ''] = chat ?? []
      const { code, stdout, stderr } = await runHere(['chat', agent, '--message', message, '--url', at])
      expect(stdout).toContain('Paris is windy')
      expect(stderr).toContain('→ weather {"city":"Paris"}')
      expect(code).toBe(0)
    },
    TIMEOUT,
  )

  test.each([
    ['support', 'You are the support agent of a small shop.'],
    ['teams/front-desk', 'Here is a welcome'],
    ['front-desk', 'Here is a welcome'],
    ['briefing', 'Here is a note about'],
  ])(
    'chat finds %s',
    async (id, answer) => {
      const { code, stdout } = await runHere(['chat', id, '--message', 'Hello', '--url', url])
      expect(stdout).toContain(answer)
      expect(code).toBe(0)
    },
    TIMEOUT,
  )

  test(
    'chat names what is near an unknown name',
    async () => {
      const { code, stderr } = await runHere(['chat', 'suport', '--message', 'x', '--url', url])
      expect(stderr).toContain('did you mean support?')
      expect(code).toBe(1)
    },
    TIMEOUT,
  )

  test(
    'chat without a message answers line by line, in one session',
    async () => {
      const chat = startCli(['chat', 'support', '--url', url])
      chat.child.stdin?.write('Hello\n')
      await chat.sees(/small shop/)
      chat.child.stdin?.end('weather\n')
      expect(await chat.exit).toBe(0)
      expect(chat.stdout()).toContain('Paris is windy')
    },
    TIMEOUT,
  )

  test(
    'outlives what a tool throws where nobody waits, and logs it',
    async () => {
      const stray = "setTimeout(() => { throw new Error('stray timer') })\nPromise.reject(new Error('stray promise'))\n"
      await writeFile(join(dir, 'tools/stray.ts'), `${stray}export default { description: 'd', execute: () => 1 }`)
      await cli.sees(/tool tools\/stray\.ts {2}reloaded/)
      while (!/stray timer/.test(cli.stderr()) || !/stray promise/.test(cli.stderr())) await new Promise(setImmediate)
      const { code } = await runHere(['chat', 'support', '--message', 'Hello', '--url', url])
      expect(code).toBe(0)
    },
    TIMEOUT,
  )

  test(
    'prints one line per reload, and the reason of a mistake',
    async () => {
      await writeFile(join(dir, 'prompts/new~'), 'You are new.\n')
      await rename(join(dir, 'prompts/new~'), join(dir, 'prompts/support.md'))
      await cli.sees(/prompt prompts\/support\.md {2}reloaded {2}[\d.]+ ms\n/)
      const { stdout } = await runHere(['chat', 'support', '--message', 'Hello', '--url', url])
      expect(stdout).toBe('You are new.\n')
      await writeFile(join(dir, 'tools/broken.ts'), 'export default {')
      await cli.sees(/tool tools\/broken\.ts {2}rejected[^\n]*\n {2}InvalidSyntax \S+broken\.ts:\d+:\d+/)
    },
    TIMEOUT,
  )

  test(
    'ends well when it is told to',
    async () => {
      cli.child.kill('SIGTERM')
      expect(await cli.exit).toBe(0)
    },
    TIMEOUT,
  )
})

describe('dev --once', () => {
  test(
    'loads, says so and ends',
    async () => {
      const { code, stdout } = await runHere(['dev', QUICKSTART, '--once'])
      expect(stdout).toContain('1 workflow   briefing')
      expect(code).toBe(0)
    },
    TIMEOUT,
  )

  test(
    'warns of a tool that two bundles have, and says which one serves it',
    async () => {
      const dirs = await Promise.all(['one', 'two'].map((name) => mkdtemp(join(tmpdir(), `midflight-${name}-`))))
      for (const dir of dirs) {
        await writeFile(join(dir, 'weather.tool.ts'), "export default { description: 'd', execute: () => 1 }")
      }
      const { stdout } = await runHere(['dev', ...dirs, '--once'])
      await Promise.all(dirs.map((dir) => rm(dir, { recursive: true })))
      expect(stdout).toMatch(
        /warning: tool weather is in several bundles: midflight-one-\S+ serves it; the others are midflight-two-\S+\/weather/,
      )
    },
    TIMEOUT,
  )

  test(
    'ends with 1 when something waits',
    async () => {
      const dir = await mkdtemp(join(tmpdir(), 'midflight-once-'))
      const agent = 'apiVersion: midflight.dev/v1alpha1\nkind: Agent\nmetadata: {name: x}\nspec: {model: none}\n'
      await writeFile(join(dir, 'a.yaml'), agent)
      const { code, stdout } = await runHere(['dev', dir, '--once'])
      expect(stdout).toContain(`ModelNotFound ${join(dir, 'a.yaml')}:4:15`)
      expect(code).toBe(1)
      await rm(dir, { recursive: true })
    },
    TIMEOUT,
  )
})

describe('a port that is taken', () => {
  test.each([
    ['--port', ['--metrics-port', '0']],
    ['--metrics-port', ['--port', '0']],
  ])(
    'is one line that names %s',
    async (flag, others) => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? String(address.port) : ''
      const { code, stderr } = await runHere(['dev', QUICKSTART, flag, port, ...others])
      expect(stderr).toBe(`error: port ${port} on 127.0.0.1 is in use: choose another with ${flag}\n`)
      expect(code).toBe(1)
      server.close()
    },
    TIMEOUT,
  )
})

describe('stopping with a run under way', () => {
  test(
    'ends the stream with RunCancelled and the process soon after',
    async () => {
      const dir = await mkdtemp(join(tmpdir(), 'midflight-stop-'))
      await cp(QUICKSTART, dir, { recursive: true })
      await writeFile(
        join(dir, 'tools/weather.ts'),
        "export default { description: 'd', parameters: { type: 'object' }, execute: () => new Promise(() => {}) }",
      )
      const cli = startCli(['dev', dir, ...ANY_PORTS])
      const url = (await cli.sees(/API +(\S+)/))[1] ?? ''
      const response = await fetch(`${url}/agents/support/runs`, {
        method: 'POST',
        body: new URLSearchParams({ message: 'weather' }),
      })
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
      let seen = ''
      while (!seen.includes('ToolCallStarted')) seen += (await reader?.read())?.value ?? ''
      cli.child.kill('SIGTERM')
      for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) seen += part.value
      expect(seen).toContain('event: RunCancelled')
      expect(await cli.exit).toBe(0)
      await rm(dir, { recursive: true })
    },
    TIMEOUT,
  )
})

describe('runtime', () => {
  test(
    'serves definitions and named bundles behind a key',
    async () => {
      const dir = await mkdtemp(join(tmpdir(), 'midflight-runtime-'))
      const keyFile = join(dir, 'key')
      await writeFile(keyFile, 'open-sesame\n')
      const definitions = join(QUICKSTART, 'agents.yaml')
      const bundle = `quickstart=${QUICKSTART}`
      const args = [
        'runtime',
        '--definitions',
        definitions,
        '--bundle',
        bundle,
        '--auth-key-file',
        keyFile,
        ...ANY_PORTS,
      ]
      const cli = startCli(args)
      const [, url = ''] = await cli.sees(/API +(\S+)/)
      const [, metrics = ''] = await cli.sees(/metrics +(\S+)\/metrics/)
      expect((await fetch(`${metrics}/readyz`)).status).toBe(200)
      expect(await (await fetch(`${metrics}/metrics`)).text()).toContain('midflight_reloads_total')
      expect((await runHere(['chat', 'support', '--message', 'x', '--url', url])).stderr).toContain('wants a key')
      const dynamic = await fetch(`${url}/runtime/stats`, { headers: { authorization: 'Bearer open-sesame' } })
      expect(dynamic.status).toBe(404)
      const chat = ['chat', 'support', '--message', 'weather', '--url', url, '--auth-key-file', keyFile]
      expect((await runHere(chat)).stdout).toContain('Paris is windy')
      cli.child.kill('SIGINT')
      expect(await cli.exit).toBe(0)
      await rm(dir, { recursive: true })
    },
    TIMEOUT,
  )
})

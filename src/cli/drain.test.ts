import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type OpenAIServer, startOpenAIServer } from '../../test/support/openai-server.ts'
import { agentSpec, type Definition, definitionRevision, itemIdOf, settingsSpec } from '../api/index.ts'
import { type Cli, startCli } from './cli.fixture.ts'

const TIMEOUT = 30_000
const ANY_PORTS = ['--port', '0', '--metrics-port', '0']

/** Proxies of the environment, which lead nowhere: nothing of a runtime goes through one. */
const PROXIES = { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: 'http://127.0.0.1:9', http_proxy: 'http://127.0.0.1:9' }

let dir: string
let provider: OpenAIServer
let cli: Cli | undefined
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'midflight-drain-'))
  // Asked to wait it begins an answer and never ends it; asked to wait a little, it takes its time.
  provider = await startOpenAIServer(({ body }) => {
    const asked = JSON.stringify(body.messages?.at(-1))
    if (asked.includes('wait for ever')) return { type: 'silence', text: 'so far' }
    return { type: 'text', text: 'all of it', ...(asked.includes('wait') ? { delayMs: 1_500 } : {}) }
  })
})
afterEach(async () => {
  cli?.child.kill('SIGKILL')
  await provider.close()
  await rm(dir, { recursive: true, force: true })
})

const model = () => ({ name: 'default', provider: 'openai-compatible', model: 'x', baseURL: provider.url })

type Started = { readonly cli: Cli; readonly url: string; readonly health: string }

async function startByHand(...args: readonly string[]): Promise<Started> {
  const kinds = { apiVersion: 'midflight.dev/v1alpha1' }
  const runtime = { ...kinds, kind: 'AgentRuntime', metadata: { name: 'default' }, spec: { models: [model()] } }
  const agent = { ...kinds, kind: 'Agent', metadata: { name: 'a' }, spec: { instructions: 'x' } }
  const definitions = join(dir, 'agents.yaml')
  await writeFile(definitions, [runtime, agent].map((object) => JSON.stringify(object)).join('\n---\n'))
  return startRuntime(['--definitions', definitions, ...args])
}

async function startRuntime(args: readonly string[]): Promise<Started> {
  cli = startCli(['runtime', ...ANY_PORTS, ...args], PROXIES)
  const [, url = ''] = await cli.sees(/API +(\S+)/)
  const [, health = ''] = await cli.sees(/metrics +(\S+)\/metrics/)
  return { cli, url, health }
}

const run = (url: string, message: string) =>
  fetch(`${url}/agents/a/runs`, { method: 'POST', body: new URLSearchParams({ message }) })

/** Starts a run and resolves when it has begun; `whole` is its stream, when it has ended. */
async function streaming(url: string, message: string): Promise<{ readonly whole: Promise<string> }> {
  const response = await run(url, message)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let seen = ''
  while (!seen.includes('RunStarted')) seen += (await reader?.read())?.value ?? ''
  const toEnd = async (): Promise<string> => {
    for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) seen += part.value
    return seen
  }
  return { whole: toEnd() }
}

/** What a scrape says of `midflight_sessions_interrupted_total`. */
async function interruptions(health: string): Promise<number> {
  const text = await (await fetch(`${health}/metrics`)).text()
  return Number(/^midflight_sessions_interrupted_total (\d+)$/m.exec(text)?.[1])
}

const isOpen = (url: string) =>
  fetch(url).then(
    () => true,
    () => false,
  )

const lastEvent = (stream: string) => stream.match(/event: \w+/g)?.at(-1)

describe('a runtime that is told to stop', () => {
  test(
    'is not ready at once, serves on until its runs have ended, and ends with 0',
    async () => {
      const { cli: process, url, health } = await startByHand()
      const { whole } = await streaming(url, 'wait')
      const before = await fetch(`${health}/readyz`)
      process.child.kill('SIGTERM')
      let ready = before
      while (ready.status === 200) ready = await fetch(`${health}/readyz`)
      expect(await ready.text()).toBe('not ready\n- the runtime is stopping\n')
      const late = await run(url, 'hello')
      expect([late.status, late.headers.get('connection')]).toEqual([200, 'close'])
      expect(lastEvent(await late.text())).toBe('event: RunCompleted')
      expect(await (await fetch(`${health}/metrics`)).text()).toContain('midflight_runs_in_flight 1')
      expect(lastEvent(await whole)).toBe('event: RunCompleted')
      expect(await process.exit).toBe(0)
    },
    TIMEOUT,
  )

  test(
    'cancels what has not ended after --drain-seconds, with a last event',
    async () => {
      const { cli: process, url } = await startByHand('--drain-seconds', '1')
      const { whole } = await streaming(url, 'wait for ever')
      process.child.kill('SIGTERM')
      expect(lastEvent(await whole)).toBe('event: RunCancelled')
      expect(await process.exit).toBe(0)
      expect(process.stderr()).toContain('waiting 1 s for 1 run')
      expect(process.stderr()).toContain('1 run interrupted after 1 s of drain')
    },
    TIMEOUT,
  )

  test(
    'ends, when it has interrupted runs, as soon as whoever scrapes has seen it, and leaves word for Kubernetes',
    async () => {
      const terminationLog = join(dir, 'termination-log')
      const ending = ['--drain-seconds', '1', '--final-scrape-seconds', '3600', '--termination-log', terminationLog]
      const { cli: process, url, health } = await startByHand(...ending)
      expect(await interruptions(health)).toBe(0)
      const runs = await Promise.all([streaming(url, 'wait for ever'), streaming(url, 'wait for ever')])
      process.child.kill('SIGTERM')
      expect((await Promise.all(runs.map(({ whole }) => whole))).map(lastEvent)).toEqual(
        Array(2).fill('event: RunCancelled'),
      )
      const lastWords = () => readFile(terminationLog, 'utf8').catch(() => '')
      while (!(await lastWords()).endsWith('\n'));
      expect(await lastWords()).toBe('2 runs interrupted after 1 s of drain\n')
      while (await isOpen(url));
      expect((await fetch(`${health}/readyz`)).status).toBe(503)
      expect(process.child.exitCode).toBe(null)
      expect(await interruptions(health)).toBe(2)
      const from = performance.now()
      expect(await process.exit).toBe(0)
      expect(performance.now() - from).toBeLessThan(5_000)
    },
    TIMEOUT,
  )

  test(
    'does not wait to be scraped when nobody has ever scraped it, nor when it has interrupted nothing',
    async () => {
      const ending = ['--drain-seconds', '1', '--final-scrape-seconds', '3600']
      const unwatched = await startByHand(...ending)
      const { whole } = await streaming(unwatched.url, 'wait for ever')
      unwatched.cli.child.kill('SIGTERM')
      expect(lastEvent(await whole)).toBe('event: RunCancelled')
      expect(await unwatched.cli.exit).toBe(0)

      const idle = await startByHand(...ending)
      expect(await interruptions(idle.health)).toBe(0)
      idle.cli.child.kill('SIGTERM')
      expect(await idle.cli.exit).toBe(0)
    },
    TIMEOUT,
  )

  test(
    'ends at once when it is told again',
    async () => {
      const { cli: process, url, health } = await startByHand('--drain-seconds', '3600')
      const { whole } = await streaming(url, 'wait for ever')
      const cut = expect(whole).rejects.toThrow(/terminated|aborted/)
      process.child.kill('SIGTERM')
      while ((await fetch(`${health}/readyz`)).status === 200);
      process.child.kill('SIGTERM')
      expect(await process.exit).toBe(130)
      await cut
    },
    TIMEOUT,
  )

  test(
    'resets no request, over kept and new connections, that was sent before it stopped listening',
    async () => {
      const { cli: process, url } = await startByHand()
      await run(url, 'hello').then((response) => response.text())
      const kept = Array.from(
        { length: 6 },
        (_, n) => new Agent({ keepAlive: true, maxSockets: 1, timeout: 1_000 + n }),
      )
      const fresh = Array.from({ length: 3 }, () => new Agent({ keepAlive: false }))
      const clients = [...kept, ...fresh].map((agent) => keepAsking(url, agent))
      const outcomes = Promise.all(clients.map(({ outcome }) => outcome))
      while (clients.some((client) => client.answers.length < 5)) await new Promise((resolve) => setTimeout(resolve, 5))
      process.child.kill('SIGTERM')
      expect(await process.exit).toBe(0)
      expect(new Set(await outcomes)).toEqual(new Set(['ECONNREFUSED']))
      const answers = clients.flatMap((client) => client.answers)
      expect(answers.filter(({ status }) => status !== 200)).toEqual([])
      expect(answers.filter(({ connection }) => connection === 'close').length).toBeGreaterThan(fresh.length)
    },
    TIMEOUT,
  )
})

type Asked = { readonly status: number | undefined; readonly connection: string | undefined }

/**
 * Asks again and again, with pauses, until it cannot; `outcome` is the error's code. A kernel resets the connections that
 * come between a listener's last look at its queue and its end, so a reset of a new connection is asked again at once:
 * whoever still listens then has reset it for another reason.
 */
function keepAsking(url: string, agent: Agent): { readonly answers: Asked[]; readonly outcome: Promise<string> } {
  const answers: Asked[] = []
  let wasNew = true
  const once = () =>
    new Promise<Asked>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' }
      const req = request(`${url}/agents/a/runs`, { method: 'POST', agent, headers }, (res: IncomingMessage) => {
        const { statusCode: status, headers: given } = res
        res.resume().once('error', reject)
        res.once('end', () => resolve({ status, connection: given.connection }))
      })
      req.once('error', (error) => {
        wasNew = !req.reusedSocket
        reject(error)
      })
      req.end(JSON.stringify({ message: 'hello', stream: false }))
    })
  const codeOf = (error: unknown): string =>
    error instanceof Error && 'code' in error ? String(error.code) : String(error)
  const untilItCannot = async (): Promise<string> => {
    try {
      for (;;) {
        answers.push(await once())
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
      }
    } catch (error) {
      return codeOf(error)
    }
  }
  const outcome = untilItCannot().then((code) =>
    code === 'ECONNRESET' && wasNew ? once().then(() => `${code} by a server that listens`, codeOf) : code,
  )
  return { answers, outcome }
}

test(
  'a runtime that an operator drives refuses loopback unless it is allowed, and answers the operator while it drains',
  async () => {
    const token = join(dir, 'token')
    await writeFile(token, 'open-sesame')
    const started = await startRuntime(['--management-token-file', token, '--management-port', '0'])
    const [, management = ''] = await started.cli.sees(/management +(\S+)/)
    const headers = { authorization: 'Bearer open-sesame', 'content-type': 'application/json' }
    const state = async () => (await fetch(`${management}/management/v1/state`, { headers })).json()
    const { bootId } = (await state()) as { bootId: string }
    const apply = async (...definitions: Definition[]) => {
      const items = Object.fromEntries(
        definitions.map((definition) => [
          definition.kind === 'Settings' ? 'settings' : itemIdOf(definition.kind, definition.name),
          { owner: 'operator', revision: definitionRevision(definition), definition },
        ]),
      )
      const remove = { items: [], bundles: [], secrets: [] }
      const call = {
        fence: 1,
        target: { bootId },
        claim: 'c',
        mode: 'activate',
        items,
        bundles: {},
        secrets: {},
        remove,
      }
      const body = JSON.stringify({ ...call, complete: { expected: definitions.length } })
      const response = await fetch(`${management}/management/v1/apply`, { method: 'POST', headers, body })
      return response.json()
    }
    const settings = (spec: object): Definition => ({
      kind: 'Settings',
      name: 'default',
      spec: settingsSpec.parse({ models: [model()], ...spec }),
    })
    const agent: Definition = { kind: 'Agent', name: 'a', spec: agentSpec.parse({ instructions: 'x' }) }

    const notYet = await fetch(`${started.health}/readyz`)
    expect([notYet.status, await notYet.text()]).toEqual([503, expect.stringMatching(/whole sync.*boot set/)])
    expect(await apply(settings({}), agent)).toMatchObject({
      items: {
        settings: {
          outcome: 'rejected',
          error: {
            reason: 'AddressNotAllowed',
            path: 'spec.models[0].baseURL',
            message: expect.stringMatching(/127\.0\.0\.1 is a loopback address.*spec\.network\.allow/),
          },
        },
      },
    })
    expect(await apply(settings({ network: { allow: ['127.0.0.1'] } }), agent)).toMatchObject({
      items: { settings: { outcome: 'activated' } },
    })
    expect((await fetch(`${started.health}/readyz`)).status).toBe(200)

    const { whole } = await streaming(started.url, 'wait')
    started.cli.child.kill('SIGTERM')
    while ((await fetch(`${started.health}/readyz`)).status === 200);
    expect(await state()).toMatchObject({ bootId, complete: true })
    expect(lastEvent(await whole)).toBe('event: RunCompleted')
    expect(await started.cli.exit).toBe(0)
  },
  TIMEOUT,
)

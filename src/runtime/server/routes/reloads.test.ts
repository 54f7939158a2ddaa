import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { reloadGraph, reloadList, retryAnswer, rollbackAnswer } from '../../../api/index.ts'
import { createMetrics } from '../../../metrics.ts'
import { bundleFrom, type Sources } from '../../files/bundle.fixture.ts'
import { agent, request, settings } from '../../registry/registry.fixture.ts'
import { createRuntime, type Runtime } from '../../runtime.ts'
import { createInThreadHost } from '../../tools/index.ts'
import { startServer, type TestServer } from '../server.fixture.ts'

const WEATHER = 'tools/weather.ts'
const tool = (text: string) => `export default { description: 'says', execute: () => ${JSON.stringify(text)} }\n`

let stop: AbortController
let runtime: Runtime
let server: TestServer

async function start(owner: 'operator' | 'dev' = 'dev'): Promise<void> {
  stop = new AbortController()
  const options = { host: createInThreadHost(), metrics: createMetrics({ process: false }), bundleOwner: owner }
  runtime = createRuntime(options, stop.signal)
  const { registry, hotReload } = runtime
  const reloads = { hotReload, bundles: registry, signal: stop.signal }
  server = await startServer({ snapshots: registry, reloads, timing: { heartbeatMs: 5 } })
}
const end = async (): Promise<void> => {
  stop.abort(new Error('the test is over'))
  await server[Symbol.asyncDispose]()
}

const offer = (sources: Sources, name = 'files') =>
  runtime.registry.offer(bundleFrom(sources, name), { detectMs: 1, readMs: 2 })

async function ask(path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(`${server.url}${path}`, body === undefined ? {} : init)
  return { status: response.status, body: await response.json() }
}

beforeEach(() => start())
afterEach(() => end())

describe('GET /reloads', () => {
  test('tells the last reloads with their stages, filtered and bounded', async () => {
    await offer({ [WEATHER]: tool('1') })
    await offer({ [WEATHER]: tool('2'), 'prompts/a.md': 'hello' })
    await offer({ [WEATHER]: 'export default {' })
    await offer({ 'prompts/b.md': 'other' }, 'other')
    const { reloads } = reloadList.parse((await ask('/reloads?bundle=files')).body)
    expect(reloads.map(({ result, files }) => [result, files.map(({ change }) => change)])).toEqual([
      ['rejected', ['deleted', 'modified']],
      ['activated', ['created', 'modified']],
      ['activated', ['created']],
    ])
    expect(reloads[0]).toMatchObject({ error: { file: WEATHER, line: 1 }, stages: { detect: 1, read: 2 } })
    expect(Object.keys(reloads[1]?.stages ?? {}).sort()).toEqual([
      'activate',
      'check',
      'detect',
      'load',
      'read',
      'transform',
    ])
    expect(reloadList.parse((await ask('/reloads?result=activated&limit=1')).body).reloads).toMatchObject([
      { bundle: 'other' },
    ])
  })

  test.each(['limit=0', 'limit=1001', 'limit=x', 'result=good', 'colour=red'])('refuses %s', async (query) => {
    expect((await ask(`/reloads?${query}`)).status).toBe(422)
  })
})

describe('GET /reloads/events', () => {
  /** Reads a stream until its text matches. */
  async function readUntil(headers: Record<string, string>, pattern: RegExp): Promise<string> {
    const gone = new AbortController()
    const response = await fetch(`${server.url}/reloads/events`, { headers, signal: gone.signal })
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString()
      if (pattern.test(text)) break
    }
    gone.abort()
    return text
  }

  test('goes on after Last-Event-ID', async () => {
    for (const text of ['1', '2', '3']) await offer({ [WEATHER]: tool(text) })
    const { bootId } = runtime.registry
    const text = await readUntil(
      { 'last-event-id': `${bootId}/1` },
      new RegExp(`id: ${bootId}/3\nevent: reload\n.*\n\n`),
    )
    expect(text).not.toContain(`id: ${bootId}/1\n`)
    expect(text).toContain(`id: ${bootId}/2\nevent: reload\ndata: {"id":"${bootId}/2"`)
  })

  test('tells who comes from elsewhere to read the list again, and keeps a silent stream open', async () => {
    const text = await readUntil({ 'last-event-id': 'elsewhere/1' }, /: heartbeat\n\n/)
    expect(text).toContain(`id: ${runtime.registry.bootId}/0\nevent: reset\n`)
  })

  test('ends when the process is asked to stop', async () => {
    const response = await fetch(`${server.url}/reloads/events`)
    stop.abort(new Error('asked to stop'))
    expect(await response.text()).not.toContain('event:')
  })
})

describe('GET /reloads/graph', () => {
  test('tells who imports and includes what, who uses it, and what a change reaches', async () => {
    await offer({
      [WEATHER]: `import { text } from '../lib/text.ts'\nimport 'node:path'\nexport default { description: 'says', execute: () => text }\n`,
      'lib/text.ts': `export const text = '1'\n`,
      'prompts/a.md': '{{include "b.md"}}',
      'prompts/b.md': 'hello',
    })
    const support = agent('support', { tools: ['weather'], prompt: { file: 'a.md' } })
    const { bootId } = runtime.registry
    await runtime.registry.apply(request({ owner: 'dev', definitions: [settings(), support], target: { bootId } }))
    const { bundles, order } = reloadGraph.parse((await ask('/reloads/graph?file=files/lib/text.ts')).body)
    expect(order).toEqual(['files/lib/text.ts', 'files/tools/weather.ts'])
    const files = new Map(bundles[0]?.files.map((file) => [file.path, file]))
    expect(files.get('lib/text.ts')).toMatchObject({
      module: 'lib.text',
      dependents: [WEATHER],
      used_by: ['agents/support'],
    })
    expect(files.get(WEATHER)).toMatchObject({ role: 'tool', dependencies: ['lib/text.ts'], packages: ['node:path'] })
    expect(files.get('prompts/b.md')).toMatchObject({ role: 'prompt', dependents: ['prompts/a.md'] })
    expect(files.get('prompts/b.md')?.used_by).toEqual(['agents/support'])
  })

  test('does not know a file that there is not', async () => {
    expect(await ask('/reloads/graph?file=files/nope.ts')).toEqual({
      status: 404,
      body: { detail: 'File not found: name it bundle/path' },
    })
  })
})

describe('POST /reloads/retry', () => {
  test('loads again what was refused', async () => {
    await offer({ [WEATHER]: 'export default {' })
    const { bundles } = retryAnswer.parse((await ask('/reloads/retry', {})).body)
    expect(bundles).toMatchObject({ files: { outcome: 'rejected', error: { reason: 'InvalidSyntax' } } })
    expect((await ask('/reloads/retry', { bundle: 'nope' })).status).toBe(404)
    expect((await ask('/reloads/retry', { colour: 'red' })).status).toBe(422)
  })
})

describe('POST /bundles/{name}/rollback', () => {
  test('goes back to the version that served before, or to one of a hash', async () => {
    for (const text of ['1', '2', '3']) await offer({ [WEATHER]: tool(text) })
    const back = await ask('/bundles/files/rollback', {})
    expect(back.status).toBe(200)
    expect(rollbackAnswer.parse(back.body)).toMatchObject({ bundle: 'files', outcome: 'activated' })
    expect(runtime.hotReload.history.list({ limit: 1 })).toMatchObject([{ source: 'api', result: 'activated' }])
    const { hash } = bundleFrom({ [WEATHER]: tool('1') })
    expect((await ask('/bundles/files/rollback', { hash })).body).toMatchObject({ to: hash })
    expect(await ask('/bundles/files/rollback', { hash: 'f'.repeat(32) })).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining('is not held; of the earlier ones those are') },
    })
  })

  test('is refused where there is nothing to go back to', async () => {
    await offer({ [WEATHER]: tool('1') })
    expect((await ask('/bundles/files/rollback', {})).status).toBe(409)
    expect((await ask('/bundles/nope/rollback', {})).status).toBe(404)
  })

  test('of a bundle that the operator owns is 409, names the owner and says what to do', async () => {
    await end()
    await start('operator')
    for (const text of ['1', '2']) await offer({ [WEATHER]: tool(text) })
    expect(await ask('/bundles/files/rollback', {})).toEqual({
      status: 409,
      body: {
        detail:
          'bundle files is owned by operator: put the earlier files back into its ConfigMap, and every pod follows',
        error_code: 'OwnedByOther',
      },
    })
  })
})

test('every call that the OpenAPI document names is served, and no reference in it leads nowhere', async () => {
  const { body } = await ask('/reloads/openapi.json')
  const document = body as { paths: Record<string, object>; components: { schemas: object } }
  for (const [path, methods] of Object.entries(document.paths)) {
    const answer = await fetch(`${server.url}${path.replace('{name}', 'files')}`, { method: 'DELETE' })
    expect([answer.status, Object.keys(methods)]).toEqual([405, allowed(answer)])
    await answer.body?.cancel()
  }
  const references = JSON.stringify(document).match(/#\/components\/schemas\/[^"]+/g) ?? []
  expect(references.length).toBeGreaterThan(10)
  for (const reference of references)
    expect(Object.keys(document.components.schemas)).toContain(reference.split('/').at(-1))
})

const allowed = ({ headers }: Response): string[] =>
  (headers.get('allow') ?? '').split(', ').flatMap((method) => (method === 'HEAD' ? [] : [method.toLowerCase()]))

describe('/hot_reload_status', () => {
  const running = { enabled: true, status: 'running', message: 'Hot-reload system is operational' }

  test('tells the status to GET and POST, without a body too', async () => {
    expect(await ask('/hot_reload_status')).toEqual({ status: 200, body: running })
    expect(await ask('/hot_reload_status', { action: 'status' })).toEqual({ status: 200, body: running })
    const response = await fetch(`${server.url}/hot_reload_status`, { method: 'POST' })
    expect(await response.json()).toEqual(running)
  })

  test('tells statistics', async () => {
    await offer({ [WEATHER]: tool('1') })
    await offer({ [WEATHER]: tool('2') })
    const stats = {
      success: true,
      stats: {
        reloads: 1,
        successes: 1,
        failures: 0,
        cache_stats: { total_modules: 1, total_loads: 2, total_errors: 0 },
        is_running: true,
      },
    }
    expect((await ask('/hot_reload_status', { action: 'stats' })).body).toEqual(stats)
    expect((await ask('/hot_reload_status?action=stats')).body).toEqual(stats)
  })

  test('answers an unknown action with an error and 200', async () => {
    expect(await ask('/hot_reload_status', { action: 'dance' })).toEqual({
      status: 200,
      body: { error: 'Unknown action: dance' },
    })
  })

  test('asks for the key like every other path', async () => {
    await end()
    await start()
    const { registry, hotReload } = runtime
    const reloads = { hotReload, bundles: registry, signal: stop.signal }
    await using closed = await startServer({ reloads, auth: { type: 'key', keys: () => ['k'] } })
    for (const path of ['/hot_reload_status', '/reloads', '/reloads/events', '/reloads/graph', '/reloads/openapi.json'])
      expect((await fetch(`${closed.url}${path}`)).status).toBe(401)
  })
})

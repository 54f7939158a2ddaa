import { expect, test } from '@jest/globals'
import { createMetrics } from '../../metrics.ts'
import { createHealthApp, type HealthDeps, type Readiness } from './health.ts'
import { serve } from './listen.ts'

async function startHealth(ready: () => Readiness, more: Pick<HealthDeps, 'alive' | 'settled'> = {}) {
  const metrics = createMetrics({ process: false })
  metrics.setItems('agents', 'active', 7)
  const stop = new AbortController()
  const app = createHealthApp({ metrics, ready, ...more })
  const { url, closed } = await serve({ app, host: '127.0.0.1', port: 0, signal: stop.signal })
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}`)
    return { status: response.status, text: await response.text(), type: response.headers.get('content-type') }
  }
  const dispose = async (): Promise<void> => {
    stop.abort()
    await closed
  }
  return { get, [Symbol.asyncDispose]: dispose }
}

test('/metrics is Prometheus text', async () => {
  await using health = await startHealth(() => ({ ok: true, reasons: [] }))
  const { status, text, type } = await health.get('/metrics')
  expect(status).toBe(200)
  expect(type).toMatch(/^text\/plain; version=0\.0\.4/)
  expect(text).toContain('midflight_registry_items{kind="agents",state="active"} 7')
})

test('/healthz answers as long as the process does', async () => {
  await using health = await startHealth(() => ({ ok: false, reasons: ['no settings'] }))
  expect(await health.get('/healthz')).toMatchObject({ status: 200, text: 'ok\n' })
})

test('/readyz is 503 with the reasons until the runtime is ready', async () => {
  let readiness: Readiness = { ok: false, reasons: ['agents/support waits: ToolNotFound', 'bundle files is loading'] }
  await using health = await startHealth(() => readiness)
  expect(await health.get('/readyz')).toMatchObject({
    status: 503,
    text: 'not ready\n- agents/support waits: ToolNotFound\n- bundle files is loading\n',
  })
  readiness = { ok: true, reasons: ['agents/support waits: ToolNotFound'] }
  expect(await health.get('/readyz')).toMatchObject({ status: 200, text: 'ok\n' })
  expect(await health.get('/readyz?verbose')).toMatchObject({
    status: 200,
    text: 'ok\n- agents/support waits: ToolNotFound\n',
  })
})

test('/readyz?wait answers as soon as the runtime has everything', async () => {
  let ok = false
  const { promise: settled, resolve } = Promise.withResolvers<void>()
  await using health = await startHealth(() => ({ ok, reasons: [] }), { settled })
  const answers: number[] = []
  const waiting = health.get('/readyz?wait').then(({ status }) => answers.push(status))
  expect((await health.get('/readyz')).status).toBe(503)
  expect(answers).toEqual([])
  ok = true
  resolve()
  await waiting
  expect(answers).toEqual([200])
})

test('/readyz?wait answers 503 while what is missing does not come, and at once when nothing more is to come', async () => {
  const settled = Promise.withResolvers<void>()
  await using health = await startHealth(() => ({ ok: false, reasons: ['no settings'] }), { settled: settled.promise })
  expect(await health.get('/readyz?wait')).toMatchObject({ status: 503, text: 'not ready\n- no settings\n' })
  settled.resolve()
  expect((await health.get('/readyz?wait')).status).toBe(503)
})

test('another path is 404', async () => {
  await using health = await startHealth(() => ({ ok: true, reasons: [] }))
  expect((await health.get('/agents')).status).toBe(404)
})

test('/healthz is 503 with the reason while going on is of no use', async () => {
  let ok = true
  const alive = (): Readiness => ({ ok, reasons: ok ? [] : ['it stands still'] })
  await using health = await startHealth(() => ({ ok: true, reasons: [] }), { alive })
  expect(await health.get('/healthz')).toMatchObject({ status: 200, text: 'ok\n' })
  ok = false
  expect(await health.get('/healthz')).toMatchObject({ status: 503, text: 'not alive\n- it stands still\n' })
})

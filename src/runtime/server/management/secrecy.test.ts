import { expect, test } from '@jest/globals'
import { agent, request, settings } from '../../registry/registry.fixture.ts'
import { startManagement, TOKEN } from './management.fixture.ts'

const CANARY = 'sk-canary-71c0d2'
const KEYED = { name: 'default', provider: 'openai', model: 'x', apiKey: { secretKeyRef: { name: 'llm', key: 'k' } } }

test('invariant 7: no secret is in state, events, errors, the OpenAPI document or a log line of the management API', async () => {
  await using server = await startManagement()
  const shown: string[] = []
  const show = async (answer: Response) => {
    shown.push(JSON.stringify([...answer.headers]), await answer.text())
    return answer.status
  }
  const secrets = { 'llm/k': { version: '1', value: CANARY } }
  const good = JSON.parse(
    JSON.stringify(request({ definitions: [settings({ models: [KEYED] }), agent('a')], secrets })),
  )
  const inline = { kind: 'Settings', name: 'default', spec: { models: [{ ...KEYED, apiKey: CANARY }] } }
  const statuses = [
    await show(await server.post(good)),
    await show(await server.post({ ...good, mode: 'check' })),
    await show(await server.post({ ...good, items: { settings: { ...good.items.settings, definition: inline } } })),
    await show(await server.post({ ...good, target: { bootId: 'x' } })),
    await show(await server.post({ ...good, secrets: { 'llm/k': CANARY } })),
    await show(await server.post({ ...good, secrets: { 'llm/k': { version: CANARY } } })),
    await show(await server.post({ ...good, claim: { value: CANARY } })),
    await show(await server.post(`${JSON.stringify(good).slice(0, -1)} ${CANARY}`)),
    await show(await server.post(good, { 'content-encoding': CANARY })),
    await show(await server.get('state', { authorization: `Bearer ${CANARY}` })),
    await show(await server.get('state')),
    await show(await server.get('openapi.json')),
  ]
  expect(statuses).toEqual([200, 200, 200, 409, 422, 422, 422, 400, 415, 401, 200, 200])
  server.registry.apply = () => Promise.reject(new Error('unexpected'))
  expect(await show(await server.post(good))).toBe(500)
  const streaming = await server.get('events', { 'last-event-id': 'boot/0' })
  const streamed = streaming.text()
  expect(server.registry.current.models.size).toBe(1)
  await server.stop()
  shown.push(await streamed, server.logged())
  expect(shown.at(-1)).toContain('unexpected')
  expect(shown.at(-2)).toContain('agents/a')
  for (const text of shown) {
    expect(text).not.toContain(CANARY)
    expect(text).not.toContain(TOKEN)
  }
})

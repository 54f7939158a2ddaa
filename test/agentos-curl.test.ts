import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { settingsSpec } from '../src/api/index.ts'
import { startRuntime, type TestRuntime } from './support/runtime.ts'

const run = promisify(execFile)

// The calls of AgentOS's document on dynamic runtime management, character by character.
const ADD = `curl -X POST "http://localhost:7777/runtime/agents" \\
  -H "Content-Type: application/x-www-form-urlencoded" \\
  -d 'agent_config={"id": "curl-agent", "name": "Curl Agent"}'`
const STATS = 'curl -X GET "http://localhost:7777/runtime/stats"'
const REMOVE = 'curl -X DELETE "http://localhost:7777/runtime/agents/curl-agent"'
const REFRESH = 'curl -X POST "http://localhost:7777/runtime/refresh"'

const shell = async (command: string): Promise<unknown> => {
  const { stdout } = await run('sh', ['-c', `${command.replace('curl', 'curl --silent --show-error')}`])
  return JSON.parse(stdout)
}

let runtime: TestRuntime
beforeAll(async () => {
  runtime = await startRuntime({ port: 7777 })
  const models = [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'I am {{agent}}.' }] }]
  await runtime.declare({ kind: 'Settings', name: 'default', spec: settingsSpec.parse({ models }) })
})
afterAll(() => runtime.stop())

test('every curl line of the document works as it stands, and does what the document says', async () => {
  expect(await shell(ADD)).toEqual({ message: 'Agent curl-agent added successfully' })
  expect(await shell(STATS)).toEqual({
    agents: { count: 1, ids: ['curl-agent'] },
    teams: { count: 0, ids: [] },
    workflows: { count: 0, ids: [] },
    databases: { count: 0, ids: [] },
  })
  expect(await shell(ADD)).toEqual({ detail: 'Agent with ID curl-agent already exists' })
  expect(await shell('curl "http://localhost:7777/agents/curl-agent"')).toMatchObject({
    id: 'curl-agent',
    name: 'Curl Agent',
  })
  expect(
    await shell('curl -F message=hi -F stream=false "http://localhost:7777/agents/curl-agent/runs"'),
  ).toMatchObject({
    content: 'I am curl-agent.',
    status: 'COMPLETED',
  })
  expect(await shell(REMOVE)).toEqual({ message: 'Agent curl-agent removed successfully' })
  expect(await shell(REMOVE)).toEqual({ detail: 'Agent curl-agent not found' })
  expect(await shell(REFRESH)).toEqual({ message: 'Routes refreshed successfully' })
})

test('the document’s Python client, which sends its configuration as a form, works too', async () => {
  const config = { id: 'api-agent', name: 'API Agent', description: 'Agent added via API' }
  const response = await fetch('http://localhost:7777/runtime/agents', {
    method: 'POST',
    body: new URLSearchParams({ agent_config: JSON.stringify(config) }),
  })
  expect([response.status, await response.json()]).toEqual([200, { message: 'Agent api-agent added successfully' }])
  const agent = await (await fetch('http://localhost:7777/agents/api-agent')).json()
  expect(agent).toMatchObject({ id: 'api-agent', name: 'API Agent', description: 'Agent added via API' })
})

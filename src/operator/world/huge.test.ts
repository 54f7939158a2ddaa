import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'
import {
  type FakeApiServer,
  failure,
  json,
  type RecordedRequest,
  startFakeApiServer,
  stream,
  watchLine,
} from '../../../test/api/harness/index.ts'
import { API_VERSION } from '../../api/index.ts'
import type { Cost } from './huge.fixture.ts'

const COUNT = 50_000
const AGENTS = /\/agents$/

const agent = (n: number) => ({
  apiVersion: API_VERSION,
  kind: 'Agent',
  metadata: { namespace: `team-${n % 50}`, name: `agent-${n}`, uid: `${n}`, generation: 1, resourceVersion: '7' },
  spec: { instructions: `Account ${n}.\n${'Be brief and exact. '.repeat(20)}` },
})

const endOfList = () => {
  const annotations = { 'k8s.io/initial-events-end': 'true' }
  return watchLine('BOOKMARK', { metadata: { resourceVersion: '7', annotations } })
}

function* lines(count: number): Generator<string> {
  for (let n = 0; n < count; n += 100)
    yield Array.from({ length: 100 }, (_, index) => watchLine('ADDED', agent(n + index))).join('')
  yield endOfList()
}

function page({ query }: RecordedRequest) {
  const from = Number(query.get('continue') ?? 0)
  const limit = Number(query.get('limit') ?? COUNT)
  const items = Array.from({ length: Math.min(limit, COUNT - from) }, (_, index) => agent(from + index))
  const more = from + limit < COUNT ? `${from + limit}` : ''
  return json({ metadata: { resourceVersion: '7', continue: more }, items })
}

/** What a process of its own takes to know everything. */
async function costOf(server: FakeApiServer): Promise<Cost> {
  const program = fileURLToPath(new URL('huge.fixture.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program, server.url, server.caFile ?? ''])
  return JSON.parse(stdout) as Cost
}

const isWatch = ({ query }: RecordedRequest) => query.get('watch') === 'true'

test.each([
  [
    'at once',
    (request: RecordedRequest) => (isWatch(request) ? stream(lines(COUNT), { after: 'hang' }) : page(request)),
  ],
  [
    'in pages',
    (request: RecordedRequest) =>
      isWatch(request) && request.query.has('sendInitialEvents')
        ? failure(422, 'Invalid', 'sendInitialEvents is forbidden for watch')
        : isWatch(request)
          ? stream([], { after: 'hang' })
          : page(request),
  ],
])(
  'fault 13: 50,000 Agents that come %s leave turns to others, and take little memory',
  async (how, answer) => {
    await using server = await startFakeApiServer()
    server.always('GET', /./, () => stream([endOfList()], { after: 'hang' }))
    server.always('GET', AGENTS, answer)
    const cost = await costOf(server)
    const limits = server.requests.filter(({ path }) => AGENTS.test(path)).map(({ query }) => query.get('limit'))
    expect(limits.filter((limit) => limit !== null)).toEqual(how === 'in pages' ? Array(COUNT / 500).fill('500') : [])
    expect(cost.agents).toBe(COUNT)
    expect(cost.longestTurnMs).toBeLessThan(200)
    expect(cost.peakResidentMb).toBeLessThan(800)
  },
  60_000,
)

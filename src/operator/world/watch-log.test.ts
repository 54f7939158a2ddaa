import { expect, test } from '@jest/globals'
import { createVirtualClock } from '../../clock.fixture.ts'
import type { WatchState } from '../../kube/index.ts'
import { createWatchLog } from './watch-log.ts'

type FailureType = Extract<WatchState, { type: 'backingOff' }>['failure']['type']

const failing = (type: FailureType, message = 'as the server says'): WatchState => ({
  type: 'backingOff',
  delayMs: 1,
  failures: 1,
  isGone: false,
  failure: { type, message },
  next: { type: 'list', because: 'start' },
})
const WATCHING: WatchState = { type: 'watching', resourceVersion: '1' }

function createLog() {
  const lines: string[] = []
  const write = (level: string) => (message: string, fields: object | undefined) =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  const clock = createVirtualClock()
  return { lines, clock, watch: createWatchLog({ log: { info: write('info'), warn: write('warn') }, clock }) }
}

test('an obstacle to many watches is told once a minute, with what the server said', () => {
  const { lines, clock, watch } = createLog()
  const [agents, teams] = [watch('Agent', undefined), watch('Team', undefined)]
  for (const tell of [agents, teams, agents]) tell(failing('connection'))
  expect(lines).toEqual([
    'warn the API server cannot be read; trying again {"kind":"Agent","cause":"as the server says"}',
  ])
  clock.advance(59_999)
  teams(failing('connection'))
  expect(lines).toHaveLength(1)
  clock.advance(1)
  teams(failing('connection'))
  expect(lines).toHaveLength(2)
})

test('kinds that are not there are told with the command that brings them', () => {
  const { lines, watch } = createLog()
  watch('Agent', undefined)(failing('absent'))
  expect(lines).toEqual([expect.stringContaining('midflight crds | kubectl apply --server-side -f -')])
})

test('a kind whose CustomResourceDefinition was created just now is no obstacle', () => {
  const { lines, watch } = createLog()
  watch('Agent', undefined)(failing('overloaded', 'storage is (re)initializing'))
  expect(lines).toEqual([])
  watch('Agent', undefined)(failing('overloaded', 'too many requests'))
  expect(lines).toHaveLength(1)
})

test('what may not be read is told for each kind and namespace', () => {
  const { lines, watch } = createLog()
  for (const kind of ['Secret', 'ConfigMap'])
    for (const namespace of ['a', 'b']) watch(kind, namespace)(failing('forbidden'))
  expect(lines.map((line) => JSON.parse(line.slice(line.indexOf('{'))))).toMatchObject([
    { kind: 'Secret', namespace: 'a' },
    { kind: 'Secret', namespace: 'b' },
    { kind: 'ConfigMap', namespace: 'a' },
    { kind: 'ConfigMap', namespace: 'b' },
  ])
  watch('Secret', undefined)(failing('forbidden'))
  expect(lines[0]).toContain('add the namespace to `namespaces` of the chart')
  expect(lines[4]).toContain('ClusterRoleBinding of deploy/install.yaml')
})

test('that it reads again is told once, and only after an obstacle that was told', () => {
  const { lines, watch } = createLog()
  const [agents, teams] = [watch('Agent', 'a'), watch('Team', 'a')]
  agents(WATCHING)
  expect(lines).toEqual([])
  for (const tell of [agents, teams]) tell(failing('overloaded'))
  for (const tell of [agents, teams, agents]) tell(WATCHING)
  expect(lines.slice(1)).toEqual(['info the API server is read again {"kind":"Agent","namespace":"a"}'])
})

test.each(['closed', 'idle', 'expired', 'unsupported'] as const)('a watch that ends as %s is no news', (type) => {
  const { lines, watch } = createLog()
  watch('Agent', undefined)(failing(type))
  expect(lines).toEqual([])
})

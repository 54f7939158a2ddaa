import { expect, test } from '@jest/globals'
import { REASONS } from './api/index.ts'
import { createMetrics, type Metrics } from './metrics.ts'

const quiet = (): Metrics => createMetrics({ process: false })

/** Lines of one metric, without comments. */
async function series(metrics: Metrics, name: string): Promise<string[]> {
  const lines = (await metrics.text()).split('\n')
  return lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
}

const ended = { kind: 'agents', name: 'support', status: 'completed', seconds: 0.2 } as const

test('every metric of the documented names is there from the start, with its type', async () => {
  const text = await createMetrics().text()
  const types = text
    .split('\n')
    .flatMap((line) => /^# TYPE (midflight_\w+) (\w+)$/.exec(line)?.slice(1, 3).join(' ') ?? [])
  expect(types.sort()).toEqual([
    'midflight_bundle_versions_alive gauge',
    'midflight_extension_calls_total counter',
    'midflight_registry_items gauge',
    'midflight_reload_duration_seconds histogram',
    'midflight_reload_failures_total counter',
    'midflight_reloads_total counter',
    'midflight_rollbacks_total counter',
    'midflight_run_duration_seconds histogram',
    'midflight_runs_in_flight gauge',
    'midflight_runs_total counter',
    'midflight_sessions_interrupted_total counter',
    'midflight_snapshots_total counter',
    'midflight_tokens_total counter',
    'midflight_tool_calls_total counter',
    'midflight_tool_host_restarts_total counter',
  ])
  expect(text).toContain('process_resident_memory_bytes')
})

test('an event that an extension was called with counts its point and its result', async () => {
  const metrics = quiet()
  metrics.extensionCalled('before_tool', 'error')
  expect(await series(metrics, 'midflight_extension_calls_total')).toContain(
    'midflight_extension_calls_total{point="before_tool",result="error"} 1',
  )
  expect(await series(metrics, 'midflight_extension_calls_total')).toHaveLength(12)
})

test('two registries do not share counts', async () => {
  const [one, other] = [quiet(), quiet()]
  one.snapshotSwapped()
  expect(await series(other, 'midflight_snapshots_total')).toEqual(['midflight_snapshots_total 0'])
})

test('counts with fixed labels start at 0', async () => {
  const metrics = quiet()
  expect(await series(metrics, 'midflight_reload_failures_total')).toHaveLength(Object.keys(REASONS).length)
  expect(await series(metrics, 'midflight_reloads_total')).toContain(
    'midflight_reloads_total{source="mount",kind="bundles",result="rejected"} 0',
  )
  expect(await series(metrics, 'midflight_reload_duration_seconds_count')).toHaveLength(7)
})

test('a reload counts its result, its reason and the stages that were measured', async () => {
  const metrics = quiet()
  metrics.reloaded({
    source: 'push',
    kind: 'bundles',
    result: 'rejected',
    reason: 'InvalidSyntax',
    seconds: { total: 0.003 },
  })
  const text = await metrics.text()
  expect(text).toContain('midflight_reloads_total{source="push",kind="bundles",result="rejected"} 1')
  expect(text).toContain('midflight_reload_failures_total{reason="InvalidSyntax"} 1')
  expect(text).toContain('midflight_reload_duration_seconds_count{stage="total"} 1')
  expect(text).toContain('midflight_reload_duration_seconds_count{stage="load"} 0')
})

test('gauges show what was last said', async () => {
  const metrics = quiet()
  metrics.setItems('agents', 'active', 3)
  metrics.setItems('agents', 'active', 2)
  metrics.setBundleVersions(4)
  const text = await metrics.text()
  expect(text).toContain('midflight_registry_items{kind="agents",state="active"} 2')
  expect(text).toContain('midflight_bundle_versions_alive 4')
})

test('a run is in flight until it has ended, and counts under its name', async () => {
  const metrics = quiet()
  metrics.accept('agents', 'support')
  expect(await series(metrics, 'midflight_runs_total')).toContain(
    'midflight_runs_total{kind="agents",name="support",status="failed"} 0',
  )
  metrics.runStarted()
  expect(await series(metrics, 'midflight_runs_in_flight')).toEqual(['midflight_runs_in_flight 1'])
  metrics.runEnded(ended)
  const text = await metrics.text()
  expect(text).toContain('midflight_runs_in_flight 0')
  expect(text).toContain('midflight_runs_total{kind="agents",name="support",status="completed"} 1')
  expect(text).toContain('midflight_run_duration_seconds_count{kind="agents"} 1')
})

test('runs that a stop has cut are counted', async () => {
  const metrics = quiet()
  metrics.sessionsInterrupted(2)
  metrics.sessionsInterrupted(1)
  expect(await series(metrics, 'midflight_sessions_interrupted_total')).toEqual([
    'midflight_sessions_interrupted_total 3',
  ])
})

test('names that nobody accepted share one series', async () => {
  const metrics = quiet()
  for (let n = 0; n < 1000; n += 1) {
    metrics.runEnded({ ...ended, name: `made-up-${n}` })
    metrics.toolCalled(`bundle/${n}`, 'ok')
    metrics.tokensSpent({ name: `made-up-${n}`, model: `model-${n}`, input: 1, output: 2 })
  }
  expect(await series(metrics, 'midflight_runs_total')).toEqual([
    'midflight_runs_total{kind="agents",name="other",status="completed"} 1000',
  ])
  expect(await series(metrics, 'midflight_tool_calls_total')).toEqual([
    'midflight_tool_calls_total{tool="other",result="ok"} 1000',
  ])
  expect(await series(metrics, 'midflight_tokens_total')).toEqual([
    'midflight_tokens_total{name="other",model="other",direction="input"} 1000',
    'midflight_tokens_total{name="other",model="other",direction="output"} 2000',
  ])
})

test('the series of a name go with it, and a run that ends later does not bring them back', async () => {
  const metrics = quiet()
  metrics.accept('agents', 'support')
  metrics.accept('models', 'default')
  metrics.runEnded(ended)
  metrics.tokensSpent({ name: 'support', model: 'default', input: 1, output: 1 })
  metrics.forget('agents', 'support')
  metrics.runEnded({ ...ended, status: 'cancelled' })
  expect(await metrics.text()).not.toContain('name="support"')
})

test('a name that another kind still has keeps its tokens', async () => {
  const metrics = quiet()
  metrics.accept('agents', 'sales')
  metrics.accept('teams', 'sales')
  metrics.tokensSpent({ name: 'sales', model: 'default', input: 1, output: 1 })
  metrics.forget('agents', 'sales')
  expect(await series(metrics, 'midflight_tokens_total')).toHaveLength(2)
  metrics.forget('teams', 'sales')
  expect(await series(metrics, 'midflight_tokens_total')).toHaveLength(0)
})

test('serving accepts what is new and forgets what is gone', async () => {
  const metrics = quiet()
  metrics.serving({ agents: ['a', 'b'], tools: ['shop/refund'], models: ['default'] })
  metrics.tokensSpent({ name: 'a', model: 'default', input: 1, output: 1 })
  metrics.serving({ agents: new Set(['b', 'c']), tools: [], models: [] })
  const text = await metrics.text()
  expect(text).not.toContain('name="a"')
  expect(text).not.toContain('shop/refund')
  expect(text).not.toContain('model="default"')
  expect(text).toContain('midflight_runs_total{kind="agents",name="c",status="completed"} 0')
  expect(text).toContain('midflight_runs_total{kind="agents",name="b",status="completed"} 0')
})

test('10,000 names that come and go leave no series', async () => {
  const metrics = quiet()
  const before = (await metrics.text()).length
  for (let n = 0; n < 10_000; n += 1) {
    metrics.accept('agents', `agent-${n}`)
    metrics.forget('agents', `agent-${n}`)
  }
  expect((await metrics.text()).length).toBe(before)
})

import { expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { createRestMetrics } from './rest.ts'
import { createWatchMetrics } from './watch.ts'

test('the counts of watches are there from the start of a kind, at 0', async () => {
  const registry = new Registry()
  const metrics = createWatchMetrics(registry)
  metrics.started('Agent')
  const before = await registry.metrics()
  for (const type of ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']) {
    expect(before).toContain(`midflight_watch_events_total{kind="Agent",type="${type}"} 0`)
  }
  for (const reason of ['closed', 'idle', 'connection', 'invalid', 'expired', 'forbidden', 'absent', 'overloaded']) {
    expect(before).toContain(`midflight_watch_restarts_total{kind="Agent",reason="${reason}"} 0`)
  }
  expect(before).toContain('midflight_relists_total{kind="Agent",reason="expired"} 0')
  expect(before).toContain('midflight_last_event_timestamp_seconds{kind="Agent"} 0')

  metrics.event('Agent', 'ADDED', 12_500)
  metrics.restarted('Agent', 'closed')
  metrics.relisted('Agent', 'start')
  const after = await registry.metrics()
  expect(after).toContain('midflight_watch_events_total{kind="Agent",type="ADDED"} 1')
  expect(after).toContain('midflight_watch_restarts_total{kind="Agent",reason="closed"} 1')
  expect(after).toContain('midflight_relists_total{kind="Agent",reason="start"} 1')
  expect(after).toContain('midflight_last_event_timestamp_seconds{kind="Agent"} 12.5')
})

test('what is known of a kind stays when one more watch of it starts', async () => {
  const registry = new Registry()
  const metrics = createWatchMetrics(registry)
  metrics.started('ConfigMap')
  metrics.event('ConfigMap', 'ADDED', 12_500)
  metrics.started('ConfigMap')
  const text = await registry.metrics()
  expect(text).toContain('midflight_last_event_timestamp_seconds{kind="ConfigMap"} 12.5')
  expect(text).toContain('midflight_watch_events_total{kind="ConfigMap",type="ADDED"} 1')
})

test('the counts of requests are there from the start, under the names of client-go', async () => {
  const registry = new Registry()
  const metrics = createRestMetrics(registry, 'api:443')
  expect(await registry.metrics()).toContain('rest_client_requests_total{code="429",method="PATCH",host="api:443"} 0')

  metrics.answered({ method: 'PATCH', code: 200, seconds: 0.02 })
  metrics.answered({ method: 'PATCH', code: 0, seconds: 30 })
  metrics.retried('PATCH')
  const text = await registry.metrics()
  expect(text).toContain('rest_client_requests_total{code="200",method="PATCH",host="api:443"} 1')
  expect(text).toContain('rest_client_requests_total{code="<error>",method="PATCH",host="api:443"} 1')
  expect(text).toContain('rest_client_request_duration_seconds_count{verb="PATCH",host="api:443"} 2')
  expect(text).toContain('rest_client_request_retries_total{verb="PATCH",host="api:443"} 1')
})

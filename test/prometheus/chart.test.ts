import { readFile } from 'node:fs/promises'
import { expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { describeCluster, type Manifest } from '../api/harness/index.ts'
import { template } from '../api/support/deploy/helm.ts'
import { objectsOf } from '../api/support/deploy/install.ts'
import { ALERTS_FILE, type Panel, readDashboard } from './support/charts.ts'

const isOurs = ({ kind, metadata: { name } }: Manifest) =>
  kind === 'PrometheusRule' || (kind === 'ConfigMap' && /-dashboard-/.test(name))
const render = async (...values: string[]) => objectsOf(await template(['--set', values.join(',')])).filter(isOurs)

describeCluster('the chart', () => {
  test('brings neither alerts nor dashboards unless it is asked to', async () => {
    expect(await render('replicas=2')).toEqual([])
  })

  test('brings the alerts as they stand in their file, with the labels that are asked for', async () => {
    const [rule, ...others] = await render(
      'metrics.prometheusRule.enabled=true,metrics.prometheusRule.labels.release=kps',
    )
    expect(others).toEqual([])
    expect(rule).toMatchObject({
      apiVersion: 'monitoring.coreos.com/v1',
      metadata: { namespace: 'midflight-system', labels: { release: 'kps', 'app.kubernetes.io/name': 'midflight' } },
    })
    expect(rule?.spec).toEqual(parse(await readFile(ALERTS_FILE, 'utf8')))
  })

  test("brings the dashboard where Grafana's sidecar finds it", async () => {
    const [map, ...others] = await render('grafana.dashboards.enabled=true')
    expect(others).toEqual([])
    expect(map).toMatchObject({ metadata: { namespace: 'midflight-system', labels: { grafana_dashboard: '1' } } })
    const { data } = map as Manifest & { data: Record<string, string> }
    expect(Object.keys(data)).toEqual(['midflight-reloads.json'])
    expect(JSON.parse(data['midflight-reloads.json'] ?? '')).toEqual(await readDashboard())
  })

  test('puts the dashboard where it is told to', async () => {
    const folder = 'grafana.dashboards.annotations.grafana_folder=Agents'
    const labels = 'grafana.dashboards.labels.team=ai,grafana.dashboards.labels.grafana_dashboard=null'
    const [map] = await render('grafana.dashboards.enabled=true', folder, labels)
    expect(map?.metadata.annotations).toEqual({ grafana_folder: 'Agents' })
    expect(map?.metadata.labels).toMatchObject({ team: 'ai' })
    expect(map?.metadata.labels).not.toHaveProperty('grafana_dashboard')
  })

  test.each([
    ['grafana.dashboard.enabled=true', /'\/grafana': additional properties 'dashboard' not allowed/],
    ['metrics.prometheusRule.enabled=yes', /'\/metrics\/prometheusRule\/enabled': got string, want boolean/],
  ])('refuses %s', async (value, message) => {
    await expect(render(value)).rejects.toThrow(message)
  })
})

test('no two panels of the dashboard have one id or one place, and each asks the data source that is chosen', async () => {
  const { panels, uid, schemaVersion } = await readDashboard()
  expect({ uid, schemaVersion }).toEqual({ uid: 'midflight-reloads', schemaVersion: 41 })
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const cells = panels.flatMap(cellsOf)
  expect(new Set(cells).size).toBe(cells.length)
  const sources = panels.flatMap(({ datasource, targets = [] }) => [
    ...(datasource === undefined ? [] : [datasource.uid]),
    ...targets.map((target) => target.datasource.uid),
  ])
  expect(new Set(sources)).toEqual(new Set([`\${datasource}`]))
})

/** Every place of Grafana's grid of 24 columns that a panel covers. */
function cellsOf({ gridPos: { x, y, w, h } }: Panel): string[] {
  expect(x + w).toBeLessThanOrEqual(24)
  const rows = Array.from({ length: h }, (_, row) => y + row)
  return rows.flatMap((row) => Array.from({ length: w }, (_, column) => `${x + column},${row}`))
}

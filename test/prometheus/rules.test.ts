import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { stringify } from 'yaml'
import { ALERTS_FILE, type Alert, readAlerts } from './support/charts.ts'
import { describePrometheus, promtool } from './support/programs.ts'
import { FAULTS, HEALTHY, type World } from './support/worlds.ts'

const ALERTS = await readAlerts()
const CASES = ALERTS.map((alert) => [alert.alert, alert] as const)

/** What is to fire at a minute: nothing, or one alert with these labels and annotations. */
type Expected = { readonly minute: number; readonly alert: string; readonly fires?: object }

describePrometheus('the alerts', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'midflight-rules-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  /** @throws Error with what promtool found instead */
  async function expectIn(...worlds: readonly (readonly [World, readonly Expected[]])[]): Promise<void> {
    const file = join(folder, 'tests.yaml')
    const tests = worlds.map(([world, expected]) => ({
      interval: '1m',
      input_series: Object.entries(world).map(([series, values]) => ({ series, values })),
      alert_rule_test: expected.map(({ minute, alert: alertname, fires }) => ({
        eval_time: `${minute}m`,
        alertname,
        exp_alerts: fires === undefined ? [] : [fires],
      })),
    }))
    await writeFile(file, stringify({ rule_files: [ALERTS_FILE], evaluation_interval: '1m', tests }))
    expect(await promtool(['test', 'rules', file])).toContain('SUCCESS')
  }
  const firing = ({ labels, annotations }: Alert, more: object, text: object) => ({
    exp_labels: { ...labels, ...more },
    exp_annotations: { runbook: annotations.runbook, ...text },
  })

  test('are rules that Prometheus takes', async () => {
    expect(await promtool(['check', 'rules', ALERTS_FILE])).toContain(`SUCCESS: ${ALERTS.length} rules found`)
  })

  test('are all silent while all is well', async () => {
    const minutes = [5, 30, 60, 92, 120, 180]
    await expectIn([HEALTHY, minutes.flatMap((minute) => ALERTS.map(({ alert }) => ({ minute, alert })))])
  })

  test.each(CASES)('%s fires, and not before its time', async (name, alert) => {
    const faults = FAULTS[name] ?? []
    expect(faults).not.toEqual([])
    const worlds = faults.map(({ world, quietAt, firesAt, labels, summary, description }) => {
      const quiet = { minute: quietAt, alert: name }
      const loud = { minute: firesAt, alert: name, fires: firing(alert, labels, { summary, description }) }
      return [{ ...HEALTHY, ...world }, [quiet, loud]] as const
    })
    await expectIn(...worlds)
  })

  test('have each a heading in docs/operations.md that its runbook leads to', async () => {
    const doc = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
    const headings = [...doc.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading)
    const anchors = headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    )
    const runbooks = ALERTS.map(({ annotations: { runbook = '' } }) => runbook)
    expect(runbooks.filter((runbook) => !anchors.includes(runbook.replace('docs/operations.md#', '')))).toEqual([])
  })
})

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from '../api/harness/index.ts'
import { ALERTS_FILE, queriesOf, readAlerts, readDashboard } from './support/charts.ts'
import { groupingsOf, selectorsOf } from './support/names.ts'
import { describePrometheus } from './support/programs.ts'
import { type Prometheus, type Sample, startPrometheus } from './support/prometheus.ts'
import { NAMESPACE, openScene, type Scene } from './support/scene.ts'

const { definition: NAMESPACES } =
  (await readDashboard()).templating.list.find(({ name }) => name === 'namespace') ?? {}
const QUERIES = queriesOf(await readDashboard()).map(({ panel, expr, legend }) => [panel, asked(expr), legend] as const)
const ALERTS = (await readAlerts()).map(({ alert, expr }) => [alert, expr] as const)

/** Panels whose value stays 0 here, and why. */
const ZERO: Readonly<Record<string, string>> = {
  Repairs: 'nobody else writes to the registries, and the API server refuses no boot set',
}

/** Alerts about what goes wrong here. */
const FAULTY = [
  'MidflightPodsBehind',
  'MidflightChangeRefused',
  'MidflightReloadFailing',
  'MidflightRuntimeNotScraped',
  'MidflightRunsInterrupted',
]

/** A query as Grafana sends it, with one namespace chosen. */
function asked(expression: string): string {
  return expression
    .replaceAll('$namespace', NAMESPACE)
    .replaceAll('$__rate_interval', '2m')
    .replaceAll('$__range', '5m')
}

describePrometheus('a Prometheus that scrapes an operator and runtimes while files and Agents change', () => {
  describeCluster('and one of them stops', () => {
    const cluster = useCluster()
    let scene: Scene
    let prometheus: Prometheus

    const hasScraped = async () => {
      const up = await prometheus.query('midflight_snapshots_total')
      return up.length === 2 && up.every(({ value }) => value > 0)
    }

    /** Alerts that fire, or will when it lasts. */
    const concerned = async () => {
      const alerts = await prometheus.query('ALERTS')
      return new Set(alerts.map(({ metric: { alertname = '' } }) => alertname))
    }

    beforeAll(async () => {
      scene = await openScene(cluster())
      prometheus = await startPrometheus(scene.targets, ALERTS_FILE)
      await scene.change(1)
      await until('both are scraped', hasScraped)
      await scene.change(2)
      await until('nothing is wrong', async () => {
        const names = await concerned()
        return !FAULTY.some((name) => names.has(name))
      })
      await scene.crashTool()
      await scene.failTool()
      await scene.spoil()
      await scene.interrupt()
    })
    afterAll(async () => {
      await scene?.[Symbol.asyncDispose]()
      await prometheus?.[Symbol.asyncDispose]()
    })

    /** A metric's labels and values are there that an expression names. */
    async function expectNames(expression: string): Promise<void> {
      const selectors = selectorsOf(expression)
      const known = new Set<string>()
      for (const { metric, labels } of selectors) {
        const series = await prometheus.series(metric)
        for (const name of series.flatMap(Object.keys)) known.add(name)
        for (const { name, value } of labels) {
          const named = { metric, name, value }
          const values = series.map((each) => each[name])
          expect({ ...named, isThere: values.some((is) => is !== undefined && is === (value ?? is)) }).toEqual({
            ...named,
            isThere: true,
          })
        }
      }
      expect(selectors).not.toEqual([])
      expect(groupingsOf(expression).filter((name) => !known.has(name))).toEqual([])
    }

    test.each(QUERIES)('panel "%s" shows data: %s', async (panel, expr, legend) => {
      await expectNames(expr)
      const isShown = ({ value }: Sample) => (panel in ZERO ? value >= 0 : value > 0)
      let last: readonly Sample[] = []
      const shown = await until(`data of ${panel}`, async () => {
        last = await prometheus.query(expr)
        return last.some(isShown) ? last : undefined
      }).catch((error: unknown) => {
        throw new Error(`${error}: ${JSON.stringify(last)}`)
      })
      const labels = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, name = '']) => name)
      for (const { metric } of shown) expect(Object.keys(metric)).toEqual(expect.arrayContaining(labels))
    })

    test('the variable "namespace" offers those of the runtimes', async () => {
      const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(NAMESPACES ?? '') ?? []
      expect((await prometheus.series(metric)).map((series) => series[label])).toContain(NAMESPACE)
    })

    test.each(ALERTS)('alert %s asks for what there is', async (_, expr) => {
      await expectNames(expr)
      await prometheus.query(expr)
    })

    test('all alerts are evaluated, and those are about to fire that should', async () => {
      const rules = await until('all are evaluated', async () => {
        const all = await prometheus.rules()
        return all.every(({ health }) => health !== 'unknown') ? all : undefined
      })
      expect(rules.map(({ name, health, lastError }) => ({ name, health, lastError }))).toEqual(
        ALERTS.map(([name]) => ({ name, health: 'ok', lastError: undefined })),
      )
      await until('they are', async () => {
        const names = await concerned()
        return FAULTY.every((name) => names.has(name))
      })
      expect(await prometheus.query('max by (kind) (midflight_objects_stalled) > 0')).toContainEqual({
        metric: { kind: 'AgentRuntime' },
        value: 1,
      })
    })
  })
})

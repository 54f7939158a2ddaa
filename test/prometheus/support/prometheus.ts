import { randomInt } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { prometheusPath } from '../../../scripts/setup-cluster/prometheus.ts'
import { startChild } from '../../api/harness/cluster/child.ts'
import { until } from '../../api/harness/index.ts'

type Labels = Readonly<Record<string, string>>

/** What is scraped under one job, with the labels that a PodMonitor or ServiceMonitor adds. */
export type Target = { readonly job: string; readonly address: string; readonly labels: Labels }

/** One series of an answer, with its value of now. */
export type Sample = { readonly metric: Labels; readonly value: number }

/** A rule as Prometheus has evaluated it. */
export type EvaluatedRule = { readonly name: string; readonly health: string; readonly lastError?: string }

export type Prometheus = AsyncDisposable & {
  /** An instant query. @throws Error with what Prometheus says */
  query(expression: string): Promise<readonly Sample[]>
  /** Labels of each series that it has ever had of a metric. */
  series(metric: string): Promise<readonly Labels[]>
  rules(): Promise<readonly EvaluatedRule[]>
}

type Answer<Data> = { readonly status: string; readonly error?: string; readonly data: Data }
type Vector = { readonly result: readonly { readonly metric: Labels; readonly value: readonly [number, string] }[] }
type RuleGroups = { readonly groups: readonly { readonly rules: readonly EvaluatedRule[] }[] }

/** Starts a Prometheus that scrapes every 200 ms and evaluates the rules of a file. Resolves when it answers. */
export async function startPrometheus(targets: readonly Target[], rulesFile: string): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'midflight-prometheus-'))
  const config = join(folder, 'prometheus.yml')
  await writeFile(config, configOf(targets, rulesFile))
  // An address of its own, so that no other Prometheus has the port.
  const listen = `127.${randomInt(1, 255)}.${randomInt(0, 255)}.${randomInt(2, 255)}:9090`
  const child = await startChild({
    name: 'prometheus',
    program: prometheusPath('prometheus'),
    args: [
      ...[`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`],
      ...[`--web.listen-address=${listen}`, '--log.level=warn'],
    ],
    folder,
    logFile: join(folder, 'log'),
  })
  const get = async <Data>(path: string, query: Labels = {}): Promise<Data> => {
    const response = await fetch(`http://${listen}/api/v1/${path}?${new URLSearchParams(query)}`)
    const { status, error, data } = (await response.json()) as Answer<Data>
    if (status !== 'success') throw new Error(`Prometheus: ${error}: ${JSON.stringify(query)}`)
    return data
  }
  const isReady = async () => {
    if (child.state === 'ended') throw new Error(`Prometheus has ended: ${child.logTail()}`)
    return (await fetch(`http://${listen}/-/ready`).catch(() => undefined))?.ok
  }
  await until('Prometheus answers', isReady)
  return {
    query: async (query) => {
      const { result } = await get<Vector>('query', { query })
      return result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }))
    },
    series: (metric) => get('series', { 'match[]': metric }),
    rules: async () => (await get<RuleGroups>('rules')).groups.flatMap(({ rules }) => rules),
    [Symbol.asyncDispose]: async () => {
      await child.kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function configOf(targets: readonly Target[], rulesFile: string): string {
  const scrapes = targets.map(({ job, address, labels }, index) => ({
    job_name: `${index}`,
    static_configs: [{ targets: [address], labels: { job, ...labels } }],
  }))
  const global = { scrape_interval: '200ms', scrape_timeout: '200ms', evaluation_interval: '500ms' }
  return stringify({ global, rule_files: [rulesFile], scrape_configs: scrapes })
}

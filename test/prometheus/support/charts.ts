import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'

const CHART = join(import.meta.dirname, '../../../charts/midflight')

export const ALERTS_FILE = join(CHART, 'files/alerts.yaml')

export type Alert = {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** The alerts that the chart brings. */
export async function readAlerts(): Promise<readonly Alert[]> {
  const { groups } = parse(await readFile(ALERTS_FILE, 'utf8')) as { groups: { rules: Alert[] }[] }
  return groups.flatMap(({ rules }) => rules)
}

/** A query of a panel; its legend names labels. */
export type PanelQuery = { readonly panel: string; readonly expr: string; readonly legend: string }

export type Dashboard = {
  readonly uid: string
  readonly schemaVersion: number
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] }
  readonly panels: readonly Panel[]
}

export type Panel = {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly datasource?: { readonly uid: string }
  readonly targets?: readonly {
    readonly expr: string
    readonly legendFormat: string
    readonly datasource: { readonly uid: string }
  }[]
}

export const readDashboard = async (): Promise<Dashboard> =>
  JSON.parse(await readFile(join(CHART, 'dashboards/reloads.json'), 'utf8')) as Dashboard

/** Every query of a dashboard, as it stands there. */
export const queriesOf = ({ panels }: Dashboard): PanelQuery[] =>
  panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({ panel: title, expr, legend: legendFormat })),
  )

import { posix } from 'node:path'
import { type Problem, type ReloadRecord, roleOf } from '../../api/index.ts'
import type { Log } from '../../log.ts'
import { moduleName } from './graph.ts'
import type { Reload } from './history.ts'
import type { FileChange } from './record.ts'

const STARTED = ['Hot-reload manager initialized', 'Hot-reload file watcher started', 'Hot-reload system initialized']

/** Logs that it runs, or does not. */
export function logStart(log: Log, enabled: boolean): void {
  const lines = enabled ? STARTED : ['Hot-reload disabled']
  for (const line of lines) log.info(line)
}

export const logChange = (log: Log, { path, change }: FileChange): void =>
  log.info(`Hot-Reload: ${change.toUpperCase()} - ${posix.basename(path)}`)

/** Logs a reload, file by file and module by module. The first load of a bundle is none. */
export function logReload(log: Log, reload: Reload): void {
  const { record, changes, isFirst } = reload
  if (isFirst && record.result === 'activated') return
  for (const change of changes) logChange(log, change)
  if (record.result === 'activated' || record.result === 'removed') logModules(log, reload)
  else if (record.error !== undefined) logProblem(log, record, record.error)
}

function logModules(log: Log, { record: { bundle }, changes, settlement }: Reload): void {
  const reloaded = settlement.bundle?.loaded?.tools.report.reloaded ?? []
  for (const path of reloaded) {
    log.info(`Reloading module: ${moduleName(path) ?? path}`, { bundle })
    log.info(`Successfully reloaded: ${moduleName(path) ?? path}`, { bundle })
  }
  const roles = new Set([...reloaded, ...changes.map(({ path }) => path)].map((path) => roleOf(path).role))
  if (roles.has('tool')) log.info('Tools cache invalidated', { bundle })
  if (roles.has('extension')) log.info('Extensions cache invalidated', { bundle })
}

function logProblem(log: Log, { bundle, result }: ReloadRecord, { message, ...place }: Problem): void {
  const { file } = place
  const what = file === undefined ? bundle : (moduleName(file) ?? file)
  const fields = { bundle, ...place, why: message }
  if (result !== 'pending') log.warn(`Failed to reload: ${what}`, fields)
  else log.info(`Waits to be reloaded: ${what}`, fields)
}

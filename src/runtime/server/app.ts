import express, { type Express } from 'express'
import type { Log } from '../../log.ts'
import type { DynamicItems, SnapshotSource } from '../registry/port.ts'
import type { ToolSurroundings } from '../run/index.ts'
import type { RunObserver, Runs } from '../run/port.ts'
import type { ToolDescription } from '../tools/port.ts'
import { type Auth, refuseForeign, requireKey } from './http/access.ts'
import { errorHandler } from './http/errors.ts'
import { notFound } from './http/route.ts'
import { catalogueRoutes, openRoutes, type ServerInfo } from './routes/catalogue.ts'
import { dynamicRoutes, refuseUndeclared } from './routes/dynamic.ts'
import { hotReloadStatusRoutes } from './routes/hot-reload-status.ts'
import { type ReloadRoutesDeps, reloadRoutes } from './routes/reloads.ts'
import { runRoutes } from './routes/runs.ts'
import { toolRoutes } from './routes/tools.ts'
import { RUNNABLE_KINDS } from './routes/views.ts'

export type AppDeps = {
  readonly snapshots: SnapshotSource
  readonly runs: Runs
  readonly dynamic: DynamicItems
  /** Whether `/runtime/*` is on: always (the default), or while the settings that serve have `dynamicApi.enabled`. */
  readonly dynamicApi?: 'on' | 'declared'
  readonly auth: Auth
  readonly info: ServerInfo
  readonly log: Log
  /** Told of every tool call that came over HTTP, for metrics. */
  readonly onToolCall?: (tool: ToolDescription, result: 'ok' | 'error') => void
  /** Told of how each such call ended, and why where it failed. */
  readonly onCalled?: RunObserver['called']
  /** What tools get that are called over HTTP: without it no secrets and no log. */
  readonly surroundings?: ToolSurroundings
  /** Calls about reloads of files; absent, they are not there. */
  readonly reloads?: Pick<ReloadRoutesDeps, 'hotReload' | 'bundles' | 'signal'>
  readonly timing?: Partial<Timing>
}

/** In milliseconds. */
export type Timing = {
  /** Between comments in a silent stream. */
  readonly heartbeatMs: number
  /** How long a stream's reader may take nothing. */
  readonly stalledMs: number
  /** How long a removal waits for the runs that it cancelled. */
  readonly cancelWaitMs: number
}

const TIMING: Timing = { heartbeatMs: 15_000, stalledMs: 60_000, cancelWaitMs: 5_000 }

/**
 * The runtime's HTTP API. Routes are fixed patterns: agents, teams, workflows and tools are looked up in the current
 * snapshot per request, so what serves can change without a change here.
 */
export function createApp(deps: AppDeps): Express {
  const {
    snapshots,
    runs,
    dynamic,
    dynamicApi = 'on',
    auth,
    log,
    onToolCall = () => undefined,
    onCalled = () => undefined,
  } = deps
  const { cancelWaitMs, ...stream } = { ...TIMING, ...deps.timing }
  const app = express()
  app.disable('x-powered-by')
  // A hash of every answer, which nobody asks for again.
  app.disable('etag')
  if (auth.type === 'none') app.use(refuseForeign(auth.hosts))
  app.use(openRoutes(deps))
  if (auth.type === 'key') app.use(requireKey(auth.keys))
  app.use(catalogueRoutes(deps))
  for (const kind of RUNNABLE_KINDS) app.use(runRoutes(kind, { snapshots, runs, log, stream }))
  if (dynamicApi === 'declared') app.use('/runtime', refuseUndeclared(snapshots))
  app.use(dynamicRoutes({ snapshots, runs, dynamic, log, cancelWaitMs }))
  app.use(toolRoutes({ snapshots, onToolCall, onCalled, surroundings: deps.surroundings }))
  if (deps.reloads) app.use(reloadRoutes({ ...deps.reloads, snapshots, stream }))
  if (deps.reloads) app.use(hotReloadStatusRoutes(deps.reloads.hotReload))
  app.use(notFound)
  app.use(errorHandler(log))
  return app
}

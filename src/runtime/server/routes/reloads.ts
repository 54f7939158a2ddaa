import { type RequestHandler, Router } from 'express'
import type { z } from 'zod'
import {
  ProblemError,
  problemOfIssues,
  reloadQuery,
  reloadsOpenApi,
  retryBody,
  rollbackBody,
} from '../../../api/index.ts'
import type { BundleControl, SnapshotSource } from '../../registry/port.ts'
import { graphView, type HistoryEvent, type HotReload } from '../../reload/index.ts'
import { readBody } from '../http/body.ts'
import { HttpError } from '../http/errors.ts'
import { param, route } from '../http/route.ts'
import { type EventStreamOptions, openEventStream } from '../http/sse.ts'

export type ReloadRoutesDeps = {
  readonly snapshots: SnapshotSource
  readonly hotReload: HotReload
  readonly bundles: BundleControl
  readonly stream: EventStreamOptions
  /** Ends the event streams. */
  readonly signal: AbortSignal
}

/** The history of reloads, what depends on what, and what people do about them by hand. */
export function reloadRoutes({ snapshots, hotReload, bundles, stream, signal }: ReloadRoutesDeps): Router {
  const router = Router()
  route(router, '/reloads', {
    get: [(req, res) => void res.json({ reloads: hotReload.history.list(parsed(reloadQuery, req.query)) })],
  })
  route(router, '/reloads/events', { get: [eventsHandler(hotReload, stream, signal)] })
  route(router, '/reloads/graph', { get: [graphHandler(hotReload, snapshots)] })
  route(router, '/reloads/retry', { post: [...readBody, retryHandler(bundles)] })
  route(router, '/reloads/openapi.json', { get: [(_req, res) => void res.json(reloadsOpenApi())] })
  route(router, '/bundles/:name/rollback', { post: [...readBody, rollbackHandler(bundles)] })
  return router
}

function parsed<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value ?? {})
  if (!result.success) throw new ProblemError(problemOfIssues(result.error))
  return result.data
}

const frameOf = (event: HistoryEvent): string => {
  const data = event.type === 'reload' ? event.record : { id: event.id }
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(data)}\n\n`
}

/** A reader gets what it missed since its `Last-Event-ID`, or what comes from now on, at its own pace. */
function eventsHandler({ history }: HotReload, timing: EventStreamOptions, signal: AbortSignal): RequestHandler {
  return async (req, res) => {
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    const stream = openEventStream(res, timing)
    for await (const event of history.follow(AbortSignal.any([signal, gone.signal]), req.get('Last-Event-ID'))) {
      if (!(await stream.write(frameOf(event)))) break
    }
    stream.end()
  }
}

const graphHandler =
  (hotReload: HotReload, snapshots: SnapshotSource): RequestHandler =>
  (req, res) => {
    const { file } = req.query
    const view = graphView(hotReload.graphs(), snapshots.current)
    if (file === undefined) return void res.json(view)
    const order = typeof file === 'string' && file.includes('/') ? hotReload.getReloadOrder(file) : []
    if (order.length === 0) throw new HttpError(404, 'File not found: name it bundle/path')
    res.json({ ...view, order })
  }

const retryHandler =
  (bundles: BundleControl): RequestHandler =>
  async (req, res) => {
    const { bundle } = parsed(retryBody, req.body)
    const results = await bundles.retry(bundle)
    if (results === undefined) throw new HttpError(404, 'Bundle not found')
    res.json({ bundles: Object.fromEntries(results) })
  }

const rollbackHandler =
  (bundles: BundleControl): RequestHandler =>
  async (req, res) => {
    const bundle = param(req.params, 'name')
    const { hash } = parsed(rollbackBody, req.body)
    const done = await bundles.rollback(bundle, hash)
    switch (done.type) {
      case 'done':
        return void res.json({ bundle, from: done.from, to: done.to, outcome: done.result.outcome })
      case 'unknown':
        throw new HttpError(404, 'Bundle not found')
      case 'notHeld':
        throw notHeld(bundle, hash, done.held)
    }
  }

function notHeld(bundle: string, hash: string | undefined, held: readonly string[]): HttpError {
  if (hash === undefined) return new HttpError(409, `No earlier version of bundle ${bundle} has served here`)
  const others = held.length === 0 ? 'there is none' : `those are ${held.join(', ')}`
  return new HttpError(404, `Version ${hash} of bundle ${bundle} is not held; of the earlier ones ${others}`)
}

import { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { EXTENSION_POINTS, type Problem, ProblemError, problemOfIssues } from '../../../api/index.ts'
import { systemClock } from '../../../clock.ts'
import type { SnapshotSource } from '../../registry/port.ts'
import { callWithin, type RunObserver, surroundingsOf, type ToolSurroundings } from '../../run/index.ts'
import type { ToolDescription } from '../../tools/port.ts'
import { readBody } from '../http/body.ts'
import { HttpError } from '../http/errors.ts'
import { param, route } from '../http/route.ts'
import { extensionView, toolView } from './views.ts'

export type ToolRoutesDeps = {
  readonly snapshots: SnapshotSource
  /** Told of every call that was made, for metrics. */
  readonly onToolCall: (tool: ToolDescription, result: 'ok' | 'error') => void
  /** Told of how every call ended that its client waited for, and why where it failed. */
  readonly onCalled: RunObserver['called']
  readonly surroundings?: ToolSurroundings | undefined
}

const callBody = z.strictObject({ arguments: z.record(z.string(), z.json()).default({}) })

/** `GET /tools`, `POST /tools/{name}/call`, `POST /tools/{bundle}/{name}/call` and `GET /extensions`. */
export function toolRoutes(deps: ToolRoutesDeps): Router {
  const router = Router()
  const { snapshots } = deps
  route(router, '/tools', {
    get: [
      (_req, res) => {
        const qualified = [...snapshots.current.tools].filter(([name]) => name.includes('/'))
        res.json(qualified.map(([, tool]) => toolView(tool)))
      },
    ],
  })
  route(router, '/extensions', {
    get: [
      (_req, res) => {
        const { extensions } = snapshots.current
        res.json(EXTENSION_POINTS.flatMap((point) => (extensions.get(point) ?? []).map(extensionView)))
      },
    ],
  })
  route(router, '/tools/:name/call', { post: [...readBody, callHandler(deps)] })
  route(router, '/tools/:bundle/:name/call', { post: [...readBody, callHandler(deps)] })
  return router
}

const LEFT = new ProblemError({ reason: 'RunCancelled', message: 'the client left' })

/** Calls a tool outside of any run, on the version that serves, within the settings' time; a client that leaves aborts the call. */
function callHandler({ snapshots, onToolCall, onCalled, surroundings }: ToolRoutesDeps): RequestHandler {
  return async (req, res) => {
    const [bundle, name] = [param(req.params, 'bundle'), param(req.params, 'name')]
    const body = callBody.safeParse(req.body ?? {})
    if (!body.success) throw new ProblemError(problemOfIssues(body.error))
    const left = new AbortController()
    res.once('close', () => left.abort(LEFT))
    const { snapshot, release } = snapshots.pin()
    try {
      const tool = snapshot.tools.get(bundle === '' ? name : `${bundle}/${name}`)
      if (tool === undefined) throw new HttpError(404, 'Tool not found')
      const { description, bundle: version } = tool
      const { timeoutSeconds } = snapshot.settings.definition.spec.tools
      const around = surroundingsOf(surroundings, snapshot, { bundle: version.name, tool: description.name })
      const ended = (problem?: Problem) => onCalled(version, description.file, problem)
      const limits = { timeoutSeconds, clock: systemClock, context: { signal: left.signal, ...around }, ended }
      const call = callWithin(tool, body.data.arguments, limits)
      call.then(
        () => onToolCall(description, 'ok'),
        () => onToolCall(description, 'error'),
      )
      const result = await call
      res.json({ tool: description.name, bundle: version.name, bundle_hash: version.hash, result })
    } finally {
      release()
    }
  }
}

import type { JSONObject } from '@ai-sdk/provider'
import { Router } from 'express'
import type { SnapshotSource } from '../../registry/port.ts'
import type { Snapshot } from '../../registry/snapshot.ts'
import type { Auth } from '../http/access.ts'
import { HttpError } from '../http/errors.ts'
import { param, route } from '../http/route.ts'
import { detailOf, itemsOf, RUNNABLE_KINDS, SINGULAR, summaryOf } from './views.ts'

/** What the server says about itself. */
export type ServerInfo = { readonly name: string; readonly version: string; readonly osId: string }

export type CatalogueDeps = {
  readonly snapshots: SnapshotSource
  readonly info: ServerInfo
  readonly auth: Auth
}

/** What anybody may ask: `/`, `/health`, `/info`. */
export function openRoutes({ snapshots, info, auth }: CatalogueDeps): Router {
  const router = Router()
  const instantiatedAt = new Date().toISOString()
  const { name, version, osId } = info
  route(router, '/', { get: [(_req, res) => void res.json({ name, id: osId, version })] })
  route(router, '/health', {
    get: [(_req, res) => void res.json({ status: 'ok', instantiated_at: instantiatedAt })],
  })
  route(router, '/info', {
    get: [
      (_req, res) => {
        const { agents, teams, workflows } = snapshots.current
        const counts = { agent_count: agents.size, team_count: teams.size, workflow_count: workflows.size }
        const authMode = auth.type === 'key' ? 'security_key' : 'none'
        res.json({ os_id: osId, name, version, ...counts, mcp: { enabled: false }, auth_mode: authMode })
      },
    ],
  })
  return router
}

/** What is served: `/config`, `/models` and, for each kind, the list and each item in full. */
export function catalogueRoutes({ snapshots, info }: CatalogueDeps): Router {
  const router = Router()
  route(router, '/config', { get: [(_req, res) => void res.json(configOf(snapshots.current, info))] })
  route(router, '/models', { get: [(_req, res) => void res.json(modelsOf(snapshots.current))] })
  for (const kind of RUNNABLE_KINDS) {
    route(router, `/${kind}`, {
      get: [
        (_req, res) => {
          const snapshot = snapshots.current
          res.json(itemsOf(snapshot, kind).map((item) => summaryOf(item, snapshot)))
        },
      ],
    })
    route(router, `/${kind}/:id`, {
      get: [
        (req, res) => {
          const snapshot = snapshots.current
          const item = snapshot[kind].get(param(req.params, 'id'))
          if (item === undefined) throw new HttpError(404, `${SINGULAR[kind]} not found`)
          res.json(detailOf(item, snapshot))
        },
      ],
    })
  }
  return router
}

const modelsOf = ({ models }: Snapshot): JSONObject[] =>
  [...models].map(([name, { spec }]) => ({ id: spec.model ?? name, provider: spec.provider, name }))

/** AgentOS's `/config`, without the parts that do not exist here. */
function configOf(snapshot: Snapshot, { osId, name }: ServerInfo): JSONObject {
  const kinds = RUNNABLE_KINDS.map((kind) => [kind, itemsOf(snapshot, kind).map((item) => summaryOf(item, snapshot))])
  return {
    os_id: osId,
    name,
    available_models: modelsOf(snapshot).map(({ id }) => id ?? null),
    databases: [],
    ...Object.fromEntries(kinds),
    interfaces: [],
  }
}

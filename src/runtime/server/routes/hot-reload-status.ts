import { type RequestHandler, Router } from 'express'
import type { HotReload } from '../../reload/index.ts'
import { readBody } from '../http/body.ts'
import { route } from '../http/route.ts'
import { isObject } from './views.ts'

/** `GET` and `POST /hot_reload_status`, as Agent Zero's panel asks it: always 200, an unknown action is an `error`. */
export function hotReloadStatusRoutes(hotReload: Pick<HotReload, 'status' | 'stats'>): Router {
  const answer = (action: unknown): object => {
    switch (action) {
      case 'status':
        return hotReload.status()
      case 'stats':
        return hotReload.stats()
      default:
        return { error: `Unknown action: ${typeof action === 'string' ? action : JSON.stringify(action)}` }
    }
  }
  const onGet: RequestHandler = (req, res) => void res.json(answer(req.query.action ?? 'status'))
  const onPost: RequestHandler = (req, res) =>
    void res.json(answer((isObject(req.body) ? req.body.action : undefined) ?? 'status'))
  const router = Router()
  route(router, '/hot_reload_status', { get: [onGet], post: [...readBody, onPost] })
  return router
}

import express, { type Express } from 'express'
import { notFound, route } from './http/route.ts'

/** Whether the process should get requests; `reasons` says why not, or what waits though it should. */
export type Readiness = { readonly ok: boolean; readonly reasons: readonly string[] }

export type HealthDeps = {
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  readonly ready: () => Readiness
}

/**
 * What Kubernetes and Prometheus ask, on a port of its own: `/metrics`, `/healthz` (the process answers), `/readyz`
 * (200, or 503 with the reasons; `?verbose` tells the reasons in either case).
 */
export function createHealthApp({ metrics, ready }: HealthDeps): Express {
  const app = express()
  app.disable('x-powered-by')
  route(app, '/metrics', {
    get: [
      async (_req, res) => {
        res.set('Content-Type', metrics.contentType).send(await metrics.text())
      },
    ],
  })
  route(app, '/healthz', { get: [(_req, res) => void res.type('text/plain').send('ok\n')] })
  route(app, '/readyz', {
    get: [
      (req, res) => {
        const { ok, reasons } = ready()
        const told = ok && req.query.verbose === undefined ? [] : reasons
        const lines = [ok ? 'ok' : 'not ready', ...told.map((reason) => `- ${reason}`)]
        res
          .status(ok ? 200 : 503)
          .type('text/plain')
          .send(`${lines.join('\n')}\n`)
      },
    ],
  })
  app.use(notFound)
  return app
}

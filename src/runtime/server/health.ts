import express, { type Express, type Response } from 'express'
import { abandonOnAbort } from '../../clock.ts'
import { notFound, route } from './http/route.ts'
import type { Scrapes } from './scrapes.ts'

/** Whether the process should get requests; `reasons` says why not, or what waits though it should. */
export type Readiness = { readonly ok: boolean; readonly reasons: readonly string[] }

export type HealthDeps = {
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  readonly ready: () => Readiness
  /** Whether going on is of use; always, when absent. */
  readonly alive?: () => Readiness
  /** Settled when the process has what it was started for, or never will: `/readyz?wait` answers then. */
  readonly settled?: Promise<void>
  /** Told of everybody who asks for the metrics. */
  readonly scrapes?: Pick<Scrapes, 'begun'>
}

/** Longest that `/readyz?wait` holds an answer back: less than the timeouts of those who ask. */
const WAIT_MS = 2_000

/**
 * What Kubernetes and Prometheus ask, on a port of its own: `/metrics`, `/healthz` (the process answers, and is
 * alive) and `/readyz` (200, or 503 with the reasons; `?verbose` tells the reasons in either case; `?wait` answers as
 * soon as it is 200, or after two seconds: kubelet, which asks once a second at most, then learns it at once).
 */
export function createHealthApp(deps: HealthDeps): Express {
  const { metrics, ready, alive = () => ALIVE, settled = AT_ONCE, scrapes } = deps
  const app = express()
  app.disable('x-powered-by')
  route(app, '/metrics', {
    get: [
      async (_req, res) => {
        const answered = scrapes?.begun()
        if (answered) res.once('finish', answered)
        res.set('Content-Type', metrics.contentType).send(await metrics.text())
      },
    ],
  })
  route(app, '/healthz', {
    get: [(req, res) => answer(res, alive(), { isVerbose: req.query.verbose !== undefined, not: 'not alive' })],
  })
  route(app, '/readyz', {
    get: [
      async (req, res) => {
        if (req.query.wait !== undefined && !ready().ok) {
          await abandonOnAbort(settled, AbortSignal.timeout(WAIT_MS)).catch(() => undefined)
        }
        answer(res, ready(), { isVerbose: req.query.verbose !== undefined, not: 'not ready' })
      },
    ],
  })
  app.use(notFound)
  return app
}

const ALIVE: Readiness = { ok: true, reasons: [] }
const AT_ONCE = Promise.resolve()

function answer(
  res: Response,
  { ok, reasons }: Readiness,
  { isVerbose, not }: { isVerbose: boolean; not: string },
): void {
  const told = ok && !isVerbose ? [] : reasons
  const lines = [ok ? 'ok' : not, ...told.map((reason) => `- ${reason}`)]
  res
    .status(ok ? 200 : 503)
    .type('text/plain')
    .send(`${lines.join('\n')}\n`)
}

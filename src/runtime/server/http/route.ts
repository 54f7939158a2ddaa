import type { RequestHandler, Router } from 'express'

type Method = 'get' | 'post' | 'delete'

/**
 * Mounts one path with the methods it has; every other method is answered 405. Paths are fixed patterns: what they
 * mean is looked up per request, so that serving one more agent adds no route.
 */
export function route(
  router: Router,
  path: string,
  handlers: Partial<Record<Method, readonly RequestHandler[]>>,
): void {
  const mounted = router.route(path)
  if (handlers.get) mounted.get(...handlers.get)
  if (handlers.post) mounted.post(...handlers.post)
  if (handlers.delete) mounted.delete(...handlers.delete)
  const methods = Object.keys(handlers).map((method) => method.toUpperCase())
  const allow = (methods.includes('GET') ? ['HEAD', ...methods] : methods).join(', ')
  mounted.all((_req, res) => {
    res.status(405).set('Allow', allow).json({ detail: 'Method Not Allowed' })
  })
}

/** A parameter of the path, which the pattern of the route guarantees. */
export function param(params: Readonly<Record<string, string | string[] | undefined>>, name: string): string {
  const value = params[name]
  return typeof value === 'string' ? value : ''
}

/** Answers what no route took. */
export const notFound: RequestHandler = (_req, res) => {
  res.status(404).json({ detail: 'Not Found' })
}

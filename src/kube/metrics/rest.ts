import { Counter, Histogram, type Registry } from 'prom-client'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
export type Method = (typeof METHODS)[number]

/** What client-go counts a request under that got no answer. */
const NO_ANSWER = '<error>'

/** Codes that are there from the start at 0, so that a rate over them is one from the first refusal on. */
const CODES = ['200', '201', '401', '403', '404', '409', '410', '422', '429', '500', '503', '504', NO_ANSWER] as const

export type AnsweredRequest = {
  readonly method: Method
  /** HTTP status, or 0 when none came. */
  readonly code: number
  /** From sending to the last byte; of a watch to the first. */
  readonly seconds: number
}

/** Counts what goes to one API server. */
export type RestMetrics = {
  answered(request: AnsweredRequest): void
  retried(method: Method): void
}

/**
 * Requests under client-go's names: each attempt counts.
 * @param host of the API server, `host:port`
 */
export function createRestMetrics(registry: Registry, host: string): RestMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server by HTTP status, method and host',
    labelNames: ['code', 'method', 'host'],
    registers,
  })
  const duration = new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Time that requests to the API server took',
    labelNames: ['verb', 'host'],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
    registers,
  })
  const retries = new Counter({
    name: 'rest_client_request_retries_total',
    help: 'Requests to the API server that were sent once more',
    labelNames: ['verb', 'host'],
    registers,
  })
  for (const method of METHODS) {
    for (const code of CODES) requests.inc({ code, method, host }, 0)
    duration.zero({ verb: method, host })
    retries.inc({ verb: method, host }, 0)
  }
  return {
    answered: ({ method, code, seconds }) => {
      requests.inc({ code: code === 0 ? NO_ANSWER : String(code), method, host })
      duration.observe({ verb: method, host }, seconds)
    },
    retried: (method) => retries.inc({ verb: method, host }),
  }
}

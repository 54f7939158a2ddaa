import type { IncomingMessage, ServerResponse } from 'node:http'
import { type PodRuntime, type PodRuntimesOptions, startPodRuntimes } from './in-process.ts'

/** Answers a request in the runtime's stead; `answer` lets the runtime answer after all. */
export type Fault = (request: IncomingMessage, response: ServerResponse, answer: () => void) => void

/** What is asked of a runtime: the last part of the path. */
export type Call = 'state' | 'apply' | 'events'

/** One request that came in: when it began, on the monotonic clock in milliseconds. */
export type Arrival = { readonly call: string; readonly at: number }

/** A runtime whose side of the protocol can be made to misbehave. */
export type FaultyRuntime = {
  readonly pod: PodRuntime
  /** Every request so far, oldest first. */
  readonly arrivals: readonly Arrival[]
  /** Requests that wait for an answer or are being answered, but for the stream of events. */
  readonly waiting: number
  /** All answers to these calls are the fault's from now on, those to the others its own; answers under way are cut. */
  misbehave(fault: Fault, calls?: readonly Call[]): void
  /** Ends `misbehave`; what waits for an answer is cut. */
  behave(): void
}

const EVERY_CALL: readonly Call[] = ['state', 'apply', 'events']

/** Runtimes as `startPodRuntimes` starts them, each with a door that obeys the test. */
export async function startFaultyRuntimes(options: Omit<PodRuntimesOptions, 'front'>): Promise<FaultyRuntime[]> {
  const doors = Array.from({ length: options.count }, () => new Door())
  const pods = await startPodRuntimes({ ...options, front: (protocol, index) => doorAt(doors, index).before(protocol) })
  return pods.map((pod, index) => {
    const door = doorAt(doors, index)
    return {
      pod,
      arrivals: door.arrivals,
      get waiting() {
        return door.waiting
      },
      misbehave: (fault, calls = EVERY_CALL) => door.obey({ fault, calls }),
      behave: () => door.obey(undefined),
    }
  })
}

function doorAt(doors: readonly Door[], index: number): Door {
  const door = doors[index]
  if (door === undefined) throw new Error(`there are ${doors.length} runtimes, not ${index + 1}`)
  return door
}

type Order = { readonly fault: Fault; readonly calls: readonly string[] } | undefined

class Door {
  readonly arrivals: Arrival[] = []
  readonly #open = new Map<ServerResponse, string>()
  #order: Order

  get waiting(): number {
    return [...this.#open.values()].filter((call) => call !== 'events').length
  }

  obey(order: Order): void {
    this.#order = order
    for (const response of this.#open.keys()) response.destroy()
  }

  before(protocol: (request: IncomingMessage, response: ServerResponse) => void) {
    return (request: IncomingMessage, response: ServerResponse): void => {
      const call = (request.url ?? '').split('/').at(-1) ?? ''
      this.arrivals.push({ call, at: performance.now() })
      this.#open.set(response, call)
      response.once('close', () => this.#open.delete(response))
      const answer = () => protocol(request, response)
      if (this.#order?.calls.includes(call)) this.#order.fault(request, response, answer)
      else answer()
    }
  }
}

const JSON_HEAD = { 'content-type': 'application/json' }
const TEN_MEGABYTES = 10_000_000

/** Takes the request and never says anything. */
export const hangs: Fault = () => undefined

/** Begins an answer at once and then sends a byte a second of it. */
export const drips: Fault = (_request, response) => {
  response.writeHead(200, JSON_HEAD).write('{')
  const timer = setInterval(() => response.write(' '), 1000)
  response.once('close', () => clearInterval(timer))
}

/** What no HTTP client understands. */
export const speaksNoHttp: Fault = (_request, response) => {
  response.socket?.end('\x16\x03\x01 not HTTP\r\n\r\n')
}

/** Says that it is JSON. */
export const answersNoJson: Fault = (_request, response) => {
  response.writeHead(200, JSON_HEAD).end('{"protocol": {"min": 1, "max"')
}

export const answersTenMegabytes: Fault = (_request, response) => {
  response.writeHead(200, JSON_HEAD).end(JSON.stringify('x'.repeat(TEN_MEGABYTES)))
}

/** As a proxy that knows no such host does. */
export const answersHtml: Fault = (_request, response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>It works!</body></html>')
}

/** Of a later version, of which nothing is known but how it names its versions. */
export const speaksVersion9: Fault = (_request, response) => {
  response.writeHead(200, JSON_HEAD).end(JSON.stringify({ protocol: { min: 9, max: 9 }, later: true }))
}

export const redirectsTo =
  (url: string): Fault =>
  (request, response) => {
    response.writeHead(307, { location: `${url}${request.url}` }).end()
  }

export const fails =
  (status: number): Fault =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'text/plain' }).end('upstream connect error')
  }

/** Does what it is asked so much later. */
export const answersAfter =
  (ms: number): Fault =>
  (_request, response, answer) => {
    const timer = setTimeout(answer, ms)
    response.once('close', () => clearTimeout(timer))
  }

/** Does what it is asked, and the answer is lost on the way. */
export const losesAnswers: Fault = (_request, response, answer) => {
  const { socket } = response
  response.write = () => true
  response.end = () => {
    socket?.destroy()
    return response
  }
  answer()
}

/** Of each call's requests every other one meets the fault, the first included. */
export function everySecond(fault: Fault): Fault {
  const counts = new Map<string, number>()
  return (request, response, answer) => {
    const path = request.url ?? ''
    const count = (counts.get(path) ?? 0) + 1
    counts.set(path, count)
    if (count % 2 === 1) fault(request, response, answer)
    else answer()
  }
}

// Runs of agents, as somebody in the cluster asks for them. The machine of the node reaches Services and pods itself.
import { createParser } from 'eventsource-parser'
import { type Dispatcher, request } from 'undici'
import { until } from '../../api/harness/until.ts'
import type { ClusterNode } from '../harness/node.ts'

/** Where agents are talked to. */
export type Line = { readonly url: string; readonly key: string | undefined }

/** The Service of an AgentRuntime, with the key of its callers. */
export async function lineTo(node: ClusterNode, namespace: string, runtime: string): Promise<Line> {
  const base = `/api/v1/namespaces/${namespace}`
  type Service = { readonly spec: { readonly clusterIP: string } }
  const { spec } = await node.call<Service>('GET', `${base}/services/${runtime}-runtime`)
  type Secret = { readonly data?: Readonly<Record<string, string>> }
  const { status, body } = await node.request<Secret>('GET', `${base}/secrets/${runtime}-runtime-key`)
  const encoded = status === 200 ? body.data?.key : undefined
  const key = encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString()
  return { url: `http://${spec.clusterIP}:7777`, key }
}

/** One pod behind the Service. */
export const lineToPod = ({ key }: Line, { ip }: { readonly ip: string }): Line => ({ url: `http://${ip}:7777`, key })

/** What is asked of whom: `agents/support`. */
export type Question = {
  readonly path: string
  readonly message: string
  readonly stream: boolean
  /** The conversation that it belongs to; default one of its own. */
  readonly session?: string
}

/** Sends a run's request, on a connection of its own or one of the `dispatcher`. */
export function send({ url, key }: Line, { path, message, stream, session }: Question, dispatcher?: Dispatcher) {
  return request(`${url}/${path}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ message, stream, ...(session !== undefined && { session_id: session }) }),
    // What answers at the address of a Service before its rules are there may be anything: it is not asked again.
    ...(dispatcher ? { dispatcher } : { reset: true }),
  })
}

/** The answer of a run that is not streamed. @throws Error with the status and the text of any but 200 */
export const ask = (line: Line, path: string, message = 'hello', dispatcher?: Dispatcher): Promise<string> =>
  answerTo(line, { path, message, stream: false }, dispatcher)

/** The same as a part of a conversation. */
export const askIn = (session: string, line: Line, path: string, message = 'hello'): Promise<string> =>
  answerTo(line, { path, message, stream: false, session })

async function answerTo(line: Line, question: Question, dispatcher?: Dispatcher): Promise<string> {
  const { statusCode, body } = await send(line, question, dispatcher)
  const text = await body.text()
  if (statusCode !== 200) throw new Error(`${question.path} was answered ${statusCode}: ${text.slice(0, 500)}`)
  return (JSON.parse(text) as { content: string }).content
}

/** The same where what went wrong is an answer too. */
export const tryAsk = (line: Line, path: string, message?: string): Promise<string> =>
  ask(line, path, message).catch((error: unknown) => `failed: ${String(error)}`)

/** Waits until an agent answers: the rules of a Service are written a moment after its first pod is ready. */
export const answering = (line: Line, path: string): Promise<unknown> =>
  until(`${line.url} answers ${path}`, () => ask(line, path).catch(() => undefined), 30_000)

/** A streamed run that has begun. */
export interface OpenRun {
  /** The text so far. */
  readonly content: string
  /** The whole answer. @throws Error where the stream breaks off, or ends with anything but the whole answer */
  readonly answer: Promise<string>
}

/** Begins a streamed run; resolves with its first event. */
export async function openRun(line: Line, path: string, message = 'hello', dispatcher?: Dispatcher): Promise<OpenRun> {
  const { statusCode, body } = await send(line, { path, message, stream: true }, dispatcher)
  if (statusCode !== 200) throw new Error(`${path} was answered ${statusCode}: ${(await body.text()).slice(0, 500)}`)
  const seen = createTranscript()
  const { promise: begun, resolve, reject } = Promise.withResolvers<void>()
  const answer = (async () => {
    for await (const piece of body.setEncoding('utf8')) {
      seen.feed(piece as string)
      resolve()
    }
    return seen.end()
  })()
  answer.catch(reject)
  await begun
  return {
    get content() {
      return seen.content
    },
    answer,
  }
}

/** The whole of a streamed run. @throws Error where it is not answered, breaks off or fails */
export async function streamRun(line: Line, path: string, message?: string, dispatcher?: Dispatcher): Promise<string> {
  return (await openRun(line, path, message, dispatcher)).answer
}

type Told = {
  readonly event: string
  readonly nested_depth?: number
  readonly content?: string | null
  readonly error_code?: string
  readonly reason?: string
}

const LAST = /^(Team)?(Run|Workflow)(Completed|Error|Cancelled)$/

/** Reads a run's events, and checks that the pieces make the whole. */
function createTranscript() {
  let content = ''
  let last: Told | undefined
  let after = 0
  const parser = createParser({
    onEvent: ({ data }) => {
      const told = JSON.parse(data) as Told
      if ((told.nested_depth ?? 0) > 0) return
      if (last !== undefined) after += 1
      if (told.event === 'RunContent') content += told.content ?? ''
      if (LAST.test(told.event)) last = told
    },
  })
  return {
    feed: (piece: string) => parser.feed(piece),
    get content() {
      return content
    },
    /** @throws Error where the run did not complete */
    end: (): string => {
      if (last === undefined)
        throw new Error(`the stream ended without a last event, after ${content.length} characters`)
      if (after > 0) throw new Error(`${after} events came after ${last.event}`)
      if (!last.event.endsWith('Completed')) throw new Error(`${last.event}: ${last.reason ?? last.content ?? ''}`)
      if (last.event === 'RunCompleted' && last.content !== content)
        throw new Error(`the pieces make "${content}", the whole is "${last.content}"`)
      return last.content ?? ''
    },
  }
}

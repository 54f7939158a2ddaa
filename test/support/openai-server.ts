import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type ToolCallAnswer = { readonly name: string; readonly arguments: unknown }

/** What the server does with one request. */
export type Behaviour =
  | { readonly type: 'text'; readonly text: string; readonly reasoning?: string; readonly delayMs?: number }
  /** One answer that calls tools; `split` sends each call's arguments a few characters at a time, mixed. */
  | {
      readonly type: 'tools'
      readonly calls: readonly ToolCallAnswer[]
      readonly text?: string
      readonly split?: boolean
    }
  | {
      readonly type: 'status'
      readonly status: number
      readonly headers?: Record<string, string>
      readonly message?: string
    }
  /** Closes the connection: before the answer's head, after it, or after some text. */
  | { readonly type: 'cut'; readonly when: 'beforeHead' | 'afterHead' }
  | { readonly type: 'cut'; readonly when: 'afterText'; readonly text: string }
  /** Ends the answer in good order, but before it is finished. */
  | { readonly type: 'truncated'; readonly text: string }
  /** Sends a chunk that is not JSON, after some text where there is any. */
  | { readonly type: 'malformed'; readonly text?: string }
  /** Sends an error object in the stream, as OpenAI does when it fails after it has begun. */
  | { readonly type: 'streamError'; readonly message: string }
  /** Sends the text, if any, and then nothing, with the connection open; without text not even the answer's head. */
  | { readonly type: 'silence'; readonly text?: string }

export type RecordedRequest = {
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: ChatBody
}

export type ChatBody = {
  readonly model?: string
  readonly stream?: boolean
  readonly messages?: readonly {
    readonly role: string
    readonly content?: unknown
    readonly tool_calls?: readonly unknown[]
  }[]
  readonly [field: string]: unknown
}

export type OpenAIServer = {
  /** To be given to a client as its base URL. */
  readonly url: string
  /** Every request so far; empty when it does not record. */
  readonly requests: readonly RecordedRequest[]
  /** Connections whose client left before the answer's end. */
  readonly left: () => number
  close(): Promise<void>
}

export type ServerOptions = { readonly port?: number; readonly record?: boolean }

/** Answers in turn; the last one again and again. */
export function inOrder(...behaviours: readonly Behaviour[]): () => Behaviour {
  let next = 0
  return () => behaviours[Math.min(next++, behaviours.length - 1)] ?? { type: 'text', text: '' }
}

/**
 * A server that speaks OpenAI's chat completions on 127.0.0.1, streamed or not. Four characters count as a token.
 * @param respond decides on each request; its behaviours are best reused, as their text is made once
 */
export async function startOpenAIServer(
  respond: (request: RecordedRequest) => Behaviour,
  { port = 0, record = true }: ServerOptions = {},
): Promise<OpenAIServer> {
  const requests: RecordedRequest[] = []
  let left = 0
  const server = createServer((req, res) => {
    res.once('close', () => {
      if (!res.writableFinished) left += 1
    })
    readJson(req, (body) => {
      const request = { path: req.url ?? '', headers: req.headers, body }
      if (record) requests.push(request)
      behave(res, respond(request), body)
    })
  })
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const { port: chosen } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${chosen}/v1`,
    requests,
    left: () => left,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A body that is no JSON object is an empty one. */
function readJson(req: IncomingMessage, then: (body: ChatBody) => void): void {
  const pieces: Buffer[] = []
  req.on('data', (piece: Buffer) => pieces.push(piece))
  req.on('end', () => then(parseBody(Buffer.concat(pieces).toString('utf8'))))
}

function parseBody(text: string): ChatBody {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? (body as ChatBody) : {}
  } catch {
    return {}
  }
}

function behave(res: ServerResponse, behaviour: Behaviour, body: ChatBody): void {
  switch (behaviour.type) {
    case 'status':
      refuse(res, behaviour)
      return
    case 'cut':
      cut(res, behaviour)
      return
    case 'silence':
      if (behaviour.text !== undefined) begin(res, chunk({ content: behaviour.text }))
      return
    case 'truncated':
      begin(res, chunk({ content: behaviour.text }))
      res.end()
      return
    case 'malformed':
      begin(res, `${behaviour.text === undefined ? '' : chunk({ content: behaviour.text })}data: {"choices": [{\n\n`)
      res.end(DONE)
      return
    case 'streamError':
      begin(res, `data: ${JSON.stringify({ error: { message: behaviour.message, type: 'server_error' } })}\n\n`)
      res.end(DONE)
      return
    case 'text':
    case 'tools':
      if (body.stream !== true) answerWhole(res, behaviour, body)
      else if (behaviour.type === 'text' && behaviour.delayMs !== undefined) {
        setTimeout(() => stream(res, behaviour, body), behaviour.delayMs)
      } else stream(res, behaviour, body)
  }
}

const HEAD = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }
const DONE = 'data: [DONE]\n\n'

type Answer = Extract<Behaviour, { type: 'text' | 'tools' }>

/** The chunks of an answer without usage, made once for each behaviour. */
const streamed = new WeakMap<Answer, string>()

function stream(res: ServerResponse, answer: Answer, body: ChatBody): void {
  let text = streamed.get(answer)
  if (text === undefined) {
    text = chunksOf(answer)
    streamed.set(answer, text)
  }
  res.writeHead(200, HEAD)
  res.end(`${text}data: ${JSON.stringify({ ...FRAME, choices: [], usage: usageOf(answer, body) })}\n\n${DONE}`)
}

const FRAME = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'test-model' }

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ ...FRAME, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`

function chunksOf(answer: Answer): string {
  const head = chunk({ role: 'assistant', content: '' })
  if (answer.type === 'text') {
    const reasoning = answer.reasoning === undefined ? '' : chunk({ reasoning_content: answer.reasoning })
    const words = answer.text.match(/\S+\s*|\s+/g) ?? []
    return [head, reasoning, ...words.map((content) => chunk({ content })), chunk({}, 'stop')].join('')
  }
  const text = answer.text === undefined ? '' : chunk({ content: answer.text })
  return [
    head,
    text,
    ...callDeltas(answer).map((delta) => chunk({ tool_calls: [delta] })),
    chunk({}, 'tool_calls'),
  ].join('')
}

function callDeltas({ calls, split }: Extract<Answer, { type: 'tools' }>): object[] {
  const pieces = calls.map((call) => {
    const text = argumentsText(call)
    return split === true ? (text.match(/.{1,4}/gs) ?? ['']) : [text]
  })
  const longest = Math.max(0, ...pieces.map(({ length }) => length))
  return Array.from({ length: longest }, (_, at) =>
    calls.flatMap(({ name }, index) => {
      const piece = pieces[index]?.[at]
      if (piece === undefined) return []
      if (at > 0) return [{ index, function: { arguments: piece } }]
      return [{ index, id: callId(index), type: 'function', function: { name, arguments: piece } }]
    }),
  ).flat()
}

const callId = (index: number): string => `call_${index + 1}`

/** Text is sent as it is, so that arguments can be what is not JSON. */
const argumentsText = ({ arguments: args }: ToolCallAnswer): string =>
  typeof args === 'string' ? args : JSON.stringify(args)

function usageOf(answer: Answer, body: ChatBody) {
  const prompt = Math.ceil(JSON.stringify(body.messages ?? []).length / 4)
  const text = answer.type === 'text' ? answer.text : answer.calls.map(argumentsText).join('')
  const completion = Math.ceil(text.length / 4)
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion }
}

function answerWhole(res: ServerResponse, answer: Answer, body: ChatBody): void {
  const message =
    answer.type === 'text'
      ? { role: 'assistant', content: answer.text }
      : {
          role: 'assistant',
          content: answer.text ?? null,
          tool_calls: answer.calls.map((call, index) => ({
            id: callId(index),
            type: 'function',
            function: { name: call.name, arguments: argumentsText(call) },
          })),
        }
  const finish = answer.type === 'text' ? 'stop' : 'tool_calls'
  const choices = [{ index: 0, message, finish_reason: finish }]
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end(JSON.stringify({ ...FRAME, object: 'chat.completion', choices, usage: usageOf(answer, body) }))
}

function refuse(res: ServerResponse, { status, headers, message }: Extract<Behaviour, { type: 'status' }>): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers })
  res.end(JSON.stringify({ error: { message: message ?? `status ${status}`, type: 'error', code: null, param: null } }))
}

function cut(res: ServerResponse, behaviour: Extract<Behaviour, { type: 'cut' }>): void {
  if (behaviour.when === 'beforeHead') {
    res.destroy()
    return
  }
  res.writeHead(200, HEAD)
  res.flushHeaders()
  const written = behaviour.when === 'afterText' ? chunk({ content: behaviour.text }) : ': begun\n\n'
  res.write(written, () => setTimeout(() => res.destroy(), 10))
}

function begin(res: ServerResponse, text: string): void {
  res.writeHead(200, HEAD)
  res.write(text)
}

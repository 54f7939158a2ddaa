import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

/**
 * A model that answers what it was told: `<first line of the instructions> (<messages of the user so far>)`. Asked to
 * `wait`, it says `so far` and the rest when it is let go.
 */
export type TellingModel = AsyncDisposable & {
  /** To be given to a runtime as `baseURL`. */
  readonly url: string
  /** Answers that wait. */
  readonly waiting: number
  letGo(): void
}

type Message = { readonly role: string; readonly content: unknown }

/** @param host the address that it listens on */
export async function startTellingModel(host = '127.0.0.1'): Promise<TellingModel> {
  let waiting: (() => void)[] = []
  const server = createServer(async (request, response) => {
    const { messages = [], stream = false } = (await json(request)) as { messages?: Message[]; stream?: boolean }
    const [instructions = ''] = textOf(messages.find(({ role }) => role === 'system')).split('\n')
    const asked = messages.filter(({ role }) => role === 'user')
    const answer = `${instructions} (${asked.length})`
    const write = stream ? chunksTo(response) : wholeTo(response)
    if (textOf(asked.at(-1)) !== 'wait') return write.end(answer)
    write.begin('so far ')
    waiting.push(() => write.end(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}/v1`,
    get waiting() {
      return waiting.length
    },
    letGo: () => {
      for (const end of waiting) end()
      waiting = []
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const textOf = (message: Message | undefined): string => {
  const { content = '' } = message ?? {}
  if (typeof content === 'string') return content
  return Array.isArray(content) ? content.map(({ text = '' }: { text?: string }) => text).join('') : ''
}

type Writer = { begin(text: string): void; end(text: string): void }

const FRAME = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'test-model' }

function chunksTo(response: ServerResponse): Writer {
  const write = (delta: object, finish: string | null = null) => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
    const choices = [{ index: 0, delta, finish_reason: finish }]
    response.write(`data: ${JSON.stringify({ ...FRAME, object: 'chat.completion.chunk', choices })}\n\n`)
  }
  return {
    begin: (content) => write({ role: 'assistant', content }),
    end: (content) => {
      write({ content })
      write({}, 'stop')
      response.end('data: [DONE]\n\n')
    },
  }
}

function wholeTo(response: ServerResponse): Writer {
  let said = ''
  return {
    begin: (text) => {
      said += text
    },
    end: (text) => {
      const message = { role: 'assistant', content: said + text }
      const choices = [{ index: 0, message, finish_reason: 'stop' }]
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ ...FRAME, object: 'chat.completion', choices }))
    },
  }
}

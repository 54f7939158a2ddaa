import { createInterface, type Interface } from 'node:readline'
import type { ChatConfig } from '../config.ts'
import { readKey } from '../files.ts'
import type { Io } from '../io.ts'
import { type ApiAccess, ask, findTarget, type Target } from './client.ts'
import { createChatView } from './view.ts'

/** @returns 1 when the last run did not end well */
export async function chat(id: string, config: ChatConfig, io: Io): Promise<number> {
  const key = config.authKeyFile === undefined ? undefined : readKey(config.authKeyFile)
  const api: ApiAccess = { url: config.url, key }
  const target = await findTarget(api, id)
  if (config.message === undefined) return converse(api, target, config.session, io)
  const { outcome } = await answer({ api, target, session: config.session, io }, config.message, io.signal)
  return outcome === 'completed' ? 0 : 1
}

type Talk = { readonly api: ApiAccess; readonly target: Target; readonly session: string | undefined; readonly io: Io }
type Answer = { readonly outcome: 'completed' | 'failed' | 'cancelled'; readonly session: string | undefined }

/** Runs one message and shows what comes back. */
async function answer({ api, target, session, io }: Talk, message: string, signal: AbortSignal): Promise<Answer> {
  const view = createChatView(io)
  let own = session
  try {
    for await (const frame of ask(api, target, { message, session }, signal)) {
      own ??= frame.data.session_id
      view.show(frame)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  return { outcome: signal.aborted ? 'cancelled' : view.end(), session: own }
}

/** Asks for a line, answers it, and so on. Ctrl-C cancels the answer under way, and ends the talk between answers. */
async function converse(api: ApiAccess, target: Target, session: string | undefined, io: Io): Promise<number> {
  const isTerminal = io.stdout.isTTY === true
  const lines = createInterface({ input: io.stdin, output: io.stdout, terminal: isTerminal, prompt: '> ' })
  let run: AbortController | undefined
  let talk: Talk = { api, target, session, io }
  let code = 0
  lines.on('SIGINT', () => (run === undefined ? lines.close() : run.abort()))
  io.signal.addEventListener('abort', () => lines.close(), { once: true })
  prompt(lines, isTerminal)
  for await (const line of lines) {
    if (line.trim() !== '') {
      run = new AbortController()
      const result = await answer(talk, line, AbortSignal.any([run.signal, io.signal]))
      run = undefined
      talk = { ...talk, session: result.session }
      code = result.outcome === 'completed' ? 0 : 1
      if (result.outcome === 'cancelled') io.stderr.write('\n(cancelled)\n')
    }
    prompt(lines, isTerminal)
  }
  if (isTerminal) io.stdout.write('\n')
  return isTerminal ? 0 : code
}

const prompt = (lines: Interface, isTerminal: boolean): void => {
  if (isTerminal) lines.prompt()
}

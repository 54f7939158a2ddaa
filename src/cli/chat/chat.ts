import { createInterface, type Interface } from 'node:readline'
import { connect } from '../cluster/connect.ts'
import { FailureError } from '../config.ts'
import { readKey } from '../files.ts'
import type { Io } from '../io.ts'
import { type ApiAccess, ask, findTarget, type Target } from './client.ts'
import { type ChatConfig, type ChatPlace, placeOf } from './config.ts'
import { reachInCluster } from './reach.ts'
import { createChatView } from './view.ts'

/** @returns 1 when the last run did not end well */
export async function chat(id: string, config: ChatConfig, io: Io): Promise<number> {
  const key = config.authKeyFile === undefined ? undefined : readKey(config.authKeyFile)
  const place = placeOf(config)
  if (place.type === 'url') return talk(await reachUrl(id, place, key), config, io)
  using connection = await connect(config, io)
  await using reached = await reachInCluster(id, { ...config, key }, connection, io)
  return await talk({ ...reached, isMended: true }, config, io)
}

/** What is talked to. `isMended`: what does not answer may be answered by another pod, so a talk goes on after it. */
type Reached = { readonly api: ApiAccess; readonly target: Target; readonly isMended: boolean }

async function reachUrl(
  id: string,
  { url, isDefault }: Extract<ChatPlace, { type: 'url' }>,
  key: string | undefined,
): Promise<Reached> {
  const elsewhere = isDefault
    ? 'name another place with --url, or an agent of a cluster with --namespace'
    : 'or name another place with --url'
  const api = { url, key, name: url, whenSilent: () => `start it with npm start, ${elsewhere}` }
  return { api, target: await findTarget(api, id), isMended: false }
}

async function talk(reached: Reached, { message, session }: ChatConfig, io: Io): Promise<number> {
  const { api, target } = reached
  if (message === undefined) return converse(reached, session, io)
  const { outcome } = await answer({ api, target, session, io }, message, io.signal)
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

/** What a pod that went away left unanswered is told, and the talk goes on with the next one. */
async function answerOrTell(
  present: Talk,
  message: string,
  signal: AbortSignal,
  { isMended }: Reached,
): Promise<Answer> {
  try {
    return await answer(present, message, signal)
  } catch (error) {
    if (!isMended || !(error instanceof FailureError)) throw error
    present.io.stderr.write(`error: ${error.message}\n`)
    return { outcome: 'failed', session: present.session }
  }
}

/** Asks for a line, answers it, and so on. Ctrl-C cancels the answer under way, and ends the talk between answers. */
async function converse(reached: Reached, session: string | undefined, io: Io): Promise<number> {
  const { api, target } = reached
  const isTerminal = io.stdout.isTTY === true
  const lines = createInterface({ input: io.stdin, output: io.stdout, terminal: isTerminal, prompt: '> ' })
  let run: AbortController | undefined
  let present: Talk = { api, target, session, io }
  let code = 0
  lines.on('SIGINT', () => (run === undefined ? lines.close() : run.abort()))
  io.signal.addEventListener('abort', () => lines.close(), { once: true })
  prompt(lines, isTerminal)
  for await (const line of lines) {
    if (line.trim() !== '') {
      run = new AbortController()
      const result = await answerOrTell(present, line, AbortSignal.any([run.signal, io.signal]), reached)
      run = undefined
      present = { ...present, session: result.session }
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

import { textAt } from '../cluster/objects.ts'
import type { Look } from './step.ts'

const ANSWER_MS = 10_000

export type Address = {
  /** Of the agent's runs. */
  readonly url: string
  /** What the runtime asks for; undefined: nothing was found. */
  readonly key: string | undefined
  /** Where the key should be. */
  readonly secret: string
}

/** Asks an agent once. What does not answer, or refuses, may answer later. */
export async function speak({ url, key, secret }: Address, signal: AbortSignal): Promise<Look<string>> {
  let response: Response
  let text: string
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify({ message: 'hello', stream: false }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    })
    text = await response.text()
  } catch (error) {
    if (signal.aborted) throw error
    // It quotes the header that could not be sent.
    if (error instanceof TypeError && error.cause === undefined)
      return { because: `Secret ${secret} holds what HTTP does not take as a key` }
    return { because: `${url} does not answer: ${reasonOf(error)}` }
  }
  const body = jsonOf(text)
  if (body === undefined) return { because: `${url} answered ${response.status} without JSON: ${shown(text)}` }
  if (response.ok) return { found: textAt(body, 'content') ?? '' }
  const hint = response.status === 401 && key === undefined ? `; there is no Secret ${secret} with a key "key"` : ''
  return { because: `${url} answered ${response.status} ${textAt(body, 'detail') ?? ''}${hint}` }
}

/** Undefined for what is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const shown = (text: string): string => (text === '' ? 'nothing at all' : JSON.stringify(text.slice(0, 200)))

/** `fetch failed` says nothing: its cause does. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  return cause instanceof Error ? cause.message : String(cause)
}

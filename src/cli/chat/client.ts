import { EventSourceParserStream } from 'eventsource-parser/stream'
import { z } from 'zod'
import { RUNNABLE, type RunnablePlural } from '../../api/index.ts'
import { nearest } from '../../dev/source/suggest.ts'
import { FailureError, UsageError } from '../config.ts'

/** Something that answers runs. */
export type Target = { readonly kind: RunnablePlural; readonly name: string }

export type ApiAccess = {
  readonly url: string
  readonly key: string | undefined
  /** What it is called in messages. */
  readonly name: string
  /** Why nothing answers just now, and what to do about it. */
  whenSilent(): string
}

/** The parts of a stream's frames that a terminal shows. */
const frameData = z.looseObject({
  session_id: z.string().optional(),
  nested_depth: z.number().default(0),
  content: z.string().nullish(),
  error: z.string().optional(),
  error_code: z.string().optional(),
  reason: z.string().optional(),
  step_name: z.string().optional(),
  tool: z.looseObject({ tool_name: z.string(), tool_args: z.unknown(), result: z.string().optional() }).optional(),
})
export type ChatFrame = { readonly event: string; readonly data: z.output<typeof frameData> }

const KINDS: readonly RunnablePlural[] = Object.values(RUNNABLE)
const named = z.array(z.looseObject({ id: z.string() }))

/**
 * What an id means: `teams/x` as it stands, a bare one the agent, else the team, else the workflow of that name.
 * @throws FailureError when nothing of that name is served, with a near name or all names
 */
export async function findTarget(api: ApiAccess, id: string): Promise<Target> {
  const [prefix, ...rest] = id.split('/')
  const kind = KINDS.find((each) => each === prefix)
  if (rest.length > 0 && kind === undefined) throw new UsageError(`"${id}" must be a name, or ${KINDS.join('/x, ')}/x`)
  const name = rest.length > 0 ? rest.join('/') : id
  for (const each of kind === undefined ? KINDS : [kind]) {
    const response = await call(api, `/${each}/${encodeURIComponent(name)}`)
    await response.body?.cancel()
    if (response.ok) return { kind: each, name }
    if (response.status !== 404) throw await refusal(response, api)
  }
  throw new FailureError(await notServed(api, id, name))
}

async function notServed(api: ApiAccess, id: string, name: string): Promise<string> {
  const names = (await Promise.all(KINDS.map((kind) => namesOf(api, kind)))).flat()
  const guess = nearest(name, names)
  const help =
    guess === undefined
      ? `there ${names.length === 0 ? 'is nothing' : `are ${names.join(', ')}`}`
      : `did you mean ${guess}?`
  return `nothing named "${id}" is served at ${api.name}: ${help}`
}

async function namesOf(api: ApiAccess, kind: RunnablePlural): Promise<string[]> {
  const parsed = named.safeParse(await (await call(api, `/${kind}`)).json())
  return parsed.success ? parsed.data.map(({ id }) => id) : []
}

export type Question = { readonly message: string; readonly session: string | undefined }

/** Starts a run and yields its frames as they come. Aborting the signal cancels the run. */
export async function* ask(
  api: ApiAccess,
  { kind, name }: Target,
  { message, session }: Question,
  signal: AbortSignal,
): AsyncGenerator<ChatFrame> {
  const form = new FormData()
  form.set('message', message)
  form.set('stream', 'true')
  if (session !== undefined) form.set('session_id', session)
  const init = { method: 'POST', body: form, signal }
  const response = await call(api, `/${kind}/${encodeURIComponent(name)}/runs`, init)
  if (!response.ok || response.body === null) throw await refusal(response, api)
  const frames = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  try {
    for await (const { event = 'message', data } of frames) {
      const parsed = frameData.safeParse(JSON.parse(data))
      if (parsed.success) yield { event, data: parsed.data }
    }
  } catch (error) {
    if (signal.aborted || !(error instanceof TypeError)) throw error
    throw new FailureError(`the connection to ${api.name} was lost in the middle of the answer`, { cause: error })
  }
}

async function call(api: ApiAccess, path: string, init: RequestInit = {}): Promise<Response> {
  const { url, key } = api
  try {
    return await fetch(`${url}${path}`, {
      ...init,
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
    })
  } catch (error) {
    if (init.signal?.aborted === true) throw error
    throw new FailureError(connectionMessage(api, error), { cause: error })
  }
}

function connectionMessage(api: ApiAccess, error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  // Without a cause nothing was sent, and the error quotes the header that could not be.
  if (cause === undefined) return `the key for ${api.name} holds what HTTP does not take as a key: correct it`
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ECONNREFUSED') return `nothing listens at ${api.name}: ${api.whenSilent()}`
  const why = cause instanceof Error ? cause.message : String(error)
  return `${api.name} cannot be reached: ${api.whenSilent() || why}`
}

async function refusal(response: Response, { name }: ApiAccess): Promise<FailureError> {
  if (response.status === 401) return new FailureError(`${name} wants a key: give its file with --auth-key-file`)
  const body = z.looseObject({ detail: z.string() }).safeParse(await response.json().catch(() => undefined))
  return new FailureError(`${name} answered ${response.status}${body.success ? `: ${body.data.detail}` : ''}`)
}

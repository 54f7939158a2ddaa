import { EventSourceParserStream } from 'eventsource-parser/stream'
import { z } from 'zod'
import { RUNNABLE, type RunnablePlural } from '../../api/index.ts'
import { nearest } from '../../dev/source/suggest.ts'
import { FailureError, UsageError } from '../config.ts'

/** Something that answers runs. */
export type Target = { readonly kind: RunnablePlural; readonly name: string }

export type ApiAccess = { readonly url: string; readonly key: string | undefined }

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
  return `nothing named "${id}" is served at ${api.url}: ${help}`
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
  for await (const { event = 'message', data } of frames) {
    const parsed = frameData.safeParse(JSON.parse(data))
    if (parsed.success) yield { event, data: parsed.data }
  }
}

async function call({ url, key }: ApiAccess, path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(`${url}${path}`, {
      ...init,
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
    })
  } catch (error) {
    if (init.signal?.aborted === true) throw error
    throw new FailureError(connectionMessage(url, error), { cause: error })
  }
}

function connectionMessage(url: string, error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ECONNREFUSED')
    return `nothing listens at ${url}: start it with npm start, or name another place with --url`
  return `${url} cannot be reached: ${cause instanceof Error ? cause.message : String(error)}`
}

async function refusal(response: Response, { url }: ApiAccess): Promise<FailureError> {
  if (response.status === 401) return new FailureError(`${url} wants a key: give its file with --auth-key-file`)
  const body = z.looseObject({ detail: z.string() }).safeParse(await response.json().catch(() => undefined))
  return new FailureError(`${url} answered ${response.status}${body.success ? `: ${body.data.detail}` : ''}`)
}

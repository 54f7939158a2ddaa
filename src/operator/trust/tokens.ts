import { tokenIdOf } from '../../api/index.ts'
import type { Lifetimes } from './lifetimes.ts'
import type { PodCredentials, TokenChoice } from './port.ts'

/** The tokens of one AgentRuntime's management protocol. Times are milliseconds since 1970. */
export type Tokens = {
  readonly token: string
  /** Replaces `token` once every pod accepts it. */
  readonly nextToken?: string | undefined
  readonly issuedAt: number
  readonly nextIssuedAt?: number | undefined
  /** The last wish for another token that was granted. */
  readonly granted?: string | undefined
}

/** What a Secret says of them, which people may have changed. */
export type FoundTokens = Partial<Tokens> & {
  /** Another value than the granted one asks for another token. */
  readonly wish?: string | undefined
}

export type TokenInput = {
  readonly found: FoundTokens
  /** What this process knew last, for when the Secret was deleted or emptied. */
  readonly known: Pick<Tokens, 'token' | 'nextToken'> | undefined
  /** Every pod that is there. */
  readonly pods: readonly PodCredentials[]
  readonly now: number
  readonly lifetimes: Lifetimes
  /** A new token. */
  readonly fresh: () => string
}

/** `lookAgainMs`: when time alone may bring the next step. */
export type TokenPlan = { readonly tokens: Tokens; readonly lookAgainMs: number }

/** A time of issue that is further ahead was not written by an operator: clocks do not differ as much. */
const MAX_AHEAD_MS = 60 * 60_000

/**
 * The next step of the tokens' life. A new token first stands beside the old one, as `nextToken`; it takes its place
 * once every pod accepts it. So whichever version of the Secret a pod holds, it accepts what it is called with. Pure.
 */
export function planTokens(input: TokenInput): TokenPlan {
  const { now } = input
  const { granted } = input.found
  const held = heldTokens(input)
  const issuedAt = timeOf(input.found.issuedAt, now)
  if (held.nextToken !== undefined) {
    const nextIssuedAt = timeOf(input.found.nextIssuedAt, now)
    return planNext({ ...held, nextToken: held.nextToken, issuedAt, nextIssuedAt, granted }, input)
  }
  return planCurrent({ ...held, issuedAt, granted }, input)
}

/** What is there, else what was; a new token beside what had gone, as whoever took it away did not want it. */
function heldTokens({ found, known, fresh }: TokenInput): Pick<Tokens, 'token' | 'nextToken'> {
  const isRestored = found.token === undefined
  const token = found.token ?? known?.token ?? found.nextToken ?? fresh()
  const nextToken = found.nextToken ?? (isRestored && known ? (known.nextToken ?? fresh()) : undefined)
  return nextToken === undefined || nextToken === token ? { token } : { token, nextToken }
}

function planCurrent(tokens: Tokens, { found, now, lifetimes, fresh }: TokenInput): TokenPlan {
  const age = now - tokens.issuedAt
  // What is only being made, or was made by hand, is new.
  const isNew = found.token === undefined || found.issuedAt === undefined
  const isWished = found.wish !== undefined && found.wish !== tokens.granted
  const granted = found.wish ?? tokens.granted
  if (isNew || (!isWished && age < lifetimes.tokenMs))
    return { tokens: { ...tokens, granted }, lookAgainMs: lifetimes.tokenMs - Math.max(age, 0) }
  return { tokens: { ...tokens, nextToken: fresh(), nextIssuedAt: now, granted }, lookAgainMs: lifetimes.settleMs }
}

function planNext(
  tokens: Tokens & { readonly nextToken: string; readonly nextIssuedAt: number },
  { pods, now, lifetimes }: TokenInput,
): TokenPlan {
  const { nextToken, nextIssuedAt, granted } = tokens
  const age = now - nextIssuedAt
  const id = tokenIdOf(nextToken)
  const isAccepted = pods.every(({ tokenIds }) => tokenIds?.includes(id) ?? false)
  if (age < lifetimes.settleMs) return { tokens, lookAgainMs: lifetimes.settleMs - age }
  if (!isAccepted && age < lifetimes.patienceMs) return { tokens, lookAgainMs: lifetimes.patienceMs - age }
  return { tokens: { token: nextToken, issuedAt: nextIssuedAt, granted }, lookAgainMs: lifetimes.tokenMs - age }
}

const timeOf = (time: number | undefined, now: number): number =>
  time === undefined || time > now + MAX_AHEAD_MS ? now : time

/** Tokens as they were seen last, and those that were in force before, newest first. */
export type TokenMemory = Pick<Tokens, 'token' | 'nextToken'> & { readonly former: readonly string[] }

/** What was in force before and may still be accepted somewhere: more than one rotation is never under way. */
const MAX_FORMER = 4

export function remember(
  before: TokenMemory | undefined,
  { token, nextToken }: Pick<Tokens, 'token' | 'nextToken'>,
): TokenMemory {
  const known = [before?.nextToken, before?.token, ...(before?.former ?? [])].filter((each) => each !== undefined)
  const former = new Set(known.filter((each) => each !== token && each !== nextToken))
  return { token, nextToken, former: [...former].slice(0, MAX_FORMER) }
}

/**
 * What to call pods with. A pod that told what it accepts is called with the newest of that; one that did not, with the
 * token that stands in every version of the Secret which it may hold.
 */
export function chooseTokens({ token, nextToken, former }: TokenMemory): TokenChoice {
  const next = nextToken === undefined ? [] : [nextToken]
  const newestFirst = [...next, token, ...former]
  const safestFirst = [token, ...next, ...former]
  const ids = new Map(newestFirst.map((each) => [each, tokenIdOf(each)]))
  return (accepted) => {
    if (accepted === undefined) return safestFirst
    const isAccepted = (each: string) => accepted.includes(ids.get(each) ?? '')
    return [...newestFirst.filter(isAccepted), ...safestFirst.filter((each) => !isAccepted(each))]
  }
}

/** A hash that the push went through and has left, and when it left it, in milliseconds. */
export type Passed = { readonly hash: string; readonly supersededAt: number }

/**
 * The two channels that bring one bundle. `ahead` holds, oldest first, what the mount can still show while the kubelet
 * catches up with the push; when the mount shows one of them, it is the first.
 */
export type ChannelState = {
  readonly push?: string | undefined
  readonly mount?: string | undefined
  readonly ahead: readonly Passed[]
  readonly lastCallAt?: number | undefined
}

/** Most hashes remembered. */
export const MAX_AHEAD = 256
/** The kubelet shows a change within 60-90 s; what is older than twice that was not caused by its lag. */
export const PASSED_MS = 180_000
/** While the operator has called this recently it is there to push, and nothing expires. */
export const OPERATOR_MS = 60_000

export const emptyChannels: ChannelState = { ahead: [] }

const operatorIsAway = (state: ChannelState, now: number): boolean =>
  state.lastCallAt === undefined || now - state.lastCallAt >= OPERATOR_MS

function unexpired(state: ChannelState, now: number): readonly Passed[] {
  if (!operatorIsAway(state, now)) return state.ahead
  return state.ahead.filter(({ supersededAt }) => now - supersededAt < PASSED_MS)
}

/** The mount shows what the push neither brought nor went through. */
function isNews({ push: pushed, mount: mounted, ahead }: ChannelState): boolean {
  return mounted !== undefined && mounted !== pushed && !ahead.some(({ hash }) => hash === mounted)
}

/** The operator called, whatever about. What expired before stays expired. */
export function operatorCall(state: ChannelState, now: number): ChannelState {
  return { ...state, ahead: unexpired(state, now), lastCallAt: now }
}

/** The operator pushed `hash`: it serves, and whatever the mount shows now is behind it. Counts as an operator's call. */
export function push(before: ChannelState, hash: string, now: number): ChannelState {
  const state = operatorCall(before, now)
  if (isNews(state)) return { ...state, push: hash, ahead: passed([], state.mount, hash, now) }
  if (state.push === hash) return state
  return { ...state, push: hash, ahead: passed(state.ahead, state.push, hash, now) }
}

/** Keeps the first when there are too many: it may be what the mount shows. */
function passed(ahead: readonly Passed[], left: string | undefined, entered: string, now: number): readonly Passed[] {
  if (left === undefined || left === entered) return ahead
  const [first, ...rest] = [...ahead, { hash: left, supersededAt: now }]
  return first === undefined ? rest : [first, ...rest.slice(-(MAX_AHEAD - 1))]
}

/**
 * The mount shows `hash`, or nothing. A mount only goes forward through what the ConfigMap held, so when it shows a
 * hash that the push went through, everything before the first of that hash is done with.
 */
export function mount(before: ChannelState, hash: string | undefined, now: number): ChannelState {
  const state = { ...before, ahead: unexpired(before, now) }
  if (hash === undefined || hash === state.mount) return { ...state, mount: hash }
  const at = state.ahead.findIndex((entry) => entry.hash === hash)
  return { ...state, mount: hash, ahead: at === -1 ? [] : state.ahead.slice(at) }
}

/** The hash that should serve now; undefined while neither channel has brought one. */
export function decide(state: ChannelState, now: number): string | undefined {
  const current = { ...state, ahead: unexpired(state, now) }
  return current.push === undefined || isNews(current) ? current.mount : current.push
}

/** A hash that the push went through and has left, and when it left it, in milliseconds. */
export type Passed = { readonly hash: string; readonly supersededAt: number }

/**
 * The two channels that bring one bundle. `ahead` holds, oldest first, what the mount can still show while the kubelet
 * catches up with the push; when the mount shows one of them, it is the first. `latest` is the channel that spoke last:
 * the push with each call that brings the bundle, the mount with each change of what it shows.
 *
 * The rule. The push serves, unless the mount is news. A mount is news
 * - at once, when it shows what the push neither brought nor went through;
 * - when it changed after the last push to something that the push went through, and the operator has been silent for so
 *   long that the kubelet's lag does not explain it: then somebody went back to it.
 * A mount that has shown the same since before the last push never is, however long the operator is silent: the kubelet
 * may be cut off along with the operator, and it never refreshes the mount of an immutable ConfigMap, nor after that was
 * deleted and made again with other content. The price: who goes back to the former content after the operator has
 * ended, and before the kubelet has shown the latter, is not seen before the operator is back or the mount changes.
 */
export type ChannelState = {
  readonly push?: string | undefined
  readonly mount?: string | undefined
  readonly latest: 'push' | 'mount'
  readonly ahead: readonly Passed[]
  readonly lastCallAt?: number | undefined
}

/** Most hashes remembered. */
export const MAX_AHEAD = 256
/** The kubelet shows a change within 60-90 s; what is older than twice that was not caused by its lag. */
export const PASSED_MS = 180_000
/** While the operator has called this recently it is there to push, and nothing expires. */
export const OPERATOR_MS = 60_000

export const emptyChannels: ChannelState = { latest: 'mount', ahead: [] }

const operatorIsAway = (state: ChannelState, now: number): boolean =>
  state.lastCallAt === undefined || now - state.lastCallAt >= OPERATOR_MS

function unexpired(state: ChannelState, now: number): readonly Passed[] {
  if (!operatorIsAway(state, now)) return state.ahead
  return state.ahead.filter(({ hash, supersededAt }) => isLeftBehind(state, hash) || now - supersededAt < PASSED_MS)
}

/** The mount has shown this since before the last push. */
const isLeftBehind = ({ latest, mount: mounted }: ChannelState, hash: string): boolean =>
  latest === 'push' && mounted === hash

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
  const { ahead, left } = isNews(state) ? { ahead: [], left: state.mount } : { ahead: state.ahead, left: state.push }
  return { ...state, push: hash, latest: 'push', ahead: passed(ahead, left, hash, now) }
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
  if (hash === state.mount) return state
  const shown = { ...state, mount: hash, latest: 'mount' as const }
  if (hash === undefined) return shown
  const at = state.ahead.findIndex((entry) => entry.hash === hash)
  return { ...shown, ahead: at === -1 ? [] : state.ahead.slice(at) }
}

/** The hash that should serve now; undefined while neither channel has brought one. */
export function decide(state: ChannelState, now: number): string | undefined {
  const current = { ...state, ahead: unexpired(state, now) }
  return current.push === undefined || isNews(current) ? current.mount : current.push
}

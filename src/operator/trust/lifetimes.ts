/** How long what is trusted lasts, in milliseconds. */
export type Lifetimes = {
  /** Of a certificate authority. */
  readonly caMs: number
  /** With less than this left, there is a new authority. */
  readonly caRenewMs: number
  /** Of a pod's certificate. */
  readonly leafMs: number
  /** With less than this left, there is a new certificate. */
  readonly leafRenewMs: number
  /** How long before it was made a certificate is valid. */
  readonly backdateMs: number
  /** Of a management token, before it is replaced. */
  readonly tokenMs: number
  /** How long a new token stands beside the old one at least. */
  readonly settleMs: number
  /** How long a new token waits for pods that do not tell that they accept it. */
  readonly patienceMs: number
}

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** How late a pod's clock may tell a date, and an operator that was away look at it. */
export const SLACK_MS = DAY

export const LIFETIMES: Lifetimes = {
  // Only the operator trusts it, and it follows a new one at once: long, as nothing has to be told.
  caMs: 5 * 365 * DAY,
  // Much longer than any certificate of it: an operator that is away for months comes back in time.
  caRenewMs: 365 * DAY,
  // Short enough that a key that leaked is soon worth nothing; an operator may be away for a month.
  leafMs: 90 * DAY,
  leafRenewMs: 30 * DAY,
  // Clocks of a cluster may differ by this much: what Kubernetes' own signers use.
  backdateMs: 5 * MINUTE,
  tokenMs: 30 * DAY,
  // The kubelet brings a Secret within 90 s: after this every mount that was made before has been renewed.
  settleMs: 2 * MINUTE,
  // A node that is lost must not keep a token alive for ever.
  patienceMs: 60 * MINUTE,
}

export type LossReason =
  /** Another process holds the lease. */
  | 'Taken'
  /** Somebody deleted the lease. */
  | 'Deleted'
  /** No renewal succeeded within the deadline: another process may hold the lease by now. */
  | 'Expired'

/** This process leads no more. What it began must end without another write. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
  readonly reason: LossReason

  constructor(reason: LossReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

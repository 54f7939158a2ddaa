/** What counts when it is decided which version of a pinned or free bundle serves. All hashes. */
export type HoldInput = {
  readonly pin: string | undefined
  /** What push and mount alone would let serve; undefined for nothing. */
  readonly wanted: string | undefined
  readonly serving: string | undefined
  /** Versions that can be had: serving, pushed or mounted. */
  readonly held: ReadonlySet<string>
}

export type Hold = {
  /** What should serve; undefined for nothing. */
  readonly serve: string | undefined
  /** What the pin keeps from serving; without a hash, the removal of the bundle. */
  readonly waits?: { readonly hash?: string }
}

/**
 * A pinned bundle serves the pinned version, whatever push and mount show; while that version cannot be had, nothing
 * changes. What is kept back serves when the pin goes.
 */
export function hold({ pin, wanted, serving, held }: HoldInput): Hold {
  if (pin === undefined) return { serve: wanted }
  const serve = held.has(pin) ? pin : serving
  if (wanted !== serve) return { serve, waits: wanted === undefined ? {} : { hash: wanted } }
  return serve === pin ? { serve } : { serve, waits: { hash: pin } }
}

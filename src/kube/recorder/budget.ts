export type BudgetOptions = {
  /** How many at once. */
  readonly burst: number
  /** How long until there is one more, in milliseconds. */
  readonly refillMs: number
  /** For how many keys a count is kept; the longest unused go first, and begin anew. */
  readonly limit: number
}

/** A token bucket per key. @param now of a monotonic clock, in milliseconds */
export type Budget = (key: string, now: number) => boolean

export function createBudget({ burst, refillMs, limit }: BudgetOptions): Budget {
  /** Least recently used first. */
  const buckets = new Map<string, { readonly tokens: number; readonly at: number }>()
  return (key, now) => {
    const held = buckets.get(key) ?? { tokens: burst, at: now }
    const tokens = Math.min(burst, held.tokens + (now - held.at) / refillMs)
    const isGranted = tokens >= 1
    buckets.delete(key)
    buckets.set(key, { tokens: isGranted ? tokens - 1 : tokens, at: now })
    const [oldest] = buckets.keys()
    if (buckets.size > limit && oldest !== undefined) buckets.delete(oldest)
    return isGranted
  }
}

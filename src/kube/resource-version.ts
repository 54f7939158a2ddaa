const DECIMAL = /^(0|[1-9]\d*)$/

/**
 * Which of two resourceVersions of one kind is newer: negative, zero or positive as in a sort; undefined when they are
 * different and one is no decimal integer, which is all that servers outside Kubernetes' own may promise. Exact at any
 * size.
 */
export function compareResourceVersions(a: string, b: string): number | undefined {
  if (a === b) return 0
  if (!DECIMAL.test(a) || !DECIMAL.test(b)) return undefined
  if (a.length !== b.length) return a.length - b.length
  return a < b ? -1 : 1
}

/** Whether everything up to `version` is known to whoever has seen `seen`. Nothing is known when they do not compare. */
export function hasReached(seen: string | undefined, version: string): boolean {
  if (seen === undefined) return false
  const order = compareResourceVersions(seen, version)
  return order !== undefined && order >= 0
}

/** Versions that may be served: from what was seen before the call was sent to what was written when it was answered. */
export type Allowed = { readonly atLeast: number; readonly atMost: number }

export type Verdict =
  | { readonly type: 'served'; readonly version: number }
  /** It shows a version that was refused. */
  | { readonly type: 'bad' }
  /** It shows a version that an earlier answer had already left behind. */
  | { readonly type: 'older' }
  /** It shows parts of several versions. */
  | { readonly type: 'mixed' }
  /** It shows no version, too few marks, or a version that was never written. */
  | { readonly type: 'unreadable' }

/**
 * What an answer shows of the version that gave it.
 * @param marks how many marks of its version the answer must have
 */
export function judge(text: string, marks: number, { atLeast, atMost }: Allowed): Verdict {
  if (/\bbad\d+\./.test(text)) return { type: 'bad' }
  const versions = Array.from(text.matchAll(/\bgood(\d+)\./g), ([, number]) => Number(number))
  const [version] = versions
  if (version === undefined || versions.length !== marks) return { type: 'unreadable' }
  if (versions.some((other) => other !== version)) return { type: 'mixed' }
  if (version < atLeast) return { type: 'older' }
  return version > atMost ? { type: 'unreadable' } : { type: 'served', version }
}

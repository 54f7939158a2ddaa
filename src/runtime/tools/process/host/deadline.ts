/**
 * Judges another process that has to say something in `ms` milliseconds. What it said in time is heard first, also when
 * this thread had no time to read it until now.
 * @returns what takes it back; idempotent
 */
export function deadline(ms: number, late: () => void): () => void {
  let turn: NodeJS.Immediate | undefined
  const timer = setTimeout(() => {
    // Reading comes between timers and this.
    turn = setImmediate(late)
  }, ms)
  return () => {
    clearTimeout(timer)
    clearImmediate(turn)
  }
}

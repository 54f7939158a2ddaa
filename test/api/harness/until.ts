const EVERY_MS = 20

/**
 * Asks every 20 ms until the answer is neither undefined nor false.
 * @param what is named in the error
 * @throws Error after `ms`
 */
export async function until<T>(what: string, ask: () => T | Promise<T>, ms = 15_000): Promise<NonNullable<T>> {
  const end = performance.now() + ms
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== null && answer !== false) return answer
    if (performance.now() > end) throw new Error(`waited ${ms} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
}

/** Does `task` for every value, at most `limit` at any time. The first failure ends it. */
export async function inFlight<T>(
  values: Iterable<T>,
  limit: number,
  task: (value: T) => Promise<unknown>,
): Promise<void> {
  const left = values[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) await task(next.value)
  }
  await Promise.all(Array.from({ length: limit }, worker))
}

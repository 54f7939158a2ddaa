export type MergeOptions<T, R> = {
  /** Most sources that run at once; the rest wait their turn in order. */
  readonly limit?: number
  /** More sources, decided on when one has returned. They are numbered after all before them. */
  readonly more?: (returned: R, index: number) => Iterable<AsyncGenerator<T, R>>
  /** Makes the other sources end soon: called when one has thrown, or the reader leaves. */
  readonly stop?: (why: unknown) => void
}

type Arrival<T, R> = { readonly index: number; readonly source: AsyncGenerator<T, R> } & (
  | { readonly type: 'next'; readonly result: IteratorResult<T, R> }
  | { readonly type: 'thrown'; readonly error: unknown }
)

/**
 * Runs sources at once and yields what they yield: nothing is lost, and what one source yields keeps its order. Returns
 * what they returned, in their order. When one throws, those not yet begun never begin, the others are told to stop and
 * are heard to their end, and then the first error is thrown.
 */
export async function* merge<T, R>(
  sources: Iterable<AsyncGenerator<T, R>>,
  { limit = Infinity, more, stop }: MergeOptions<T, R> = {},
): AsyncGenerator<T, R[]> {
  const waiting = [...sources]
  const running = new Set<AsyncGenerator<T, R>>()
  const arrived: Arrival<T, R>[] = []
  const results: R[] = []
  let failure: { readonly error: unknown } | undefined
  let started = 0
  let wake = (): void => undefined

  const pull = (source: AsyncGenerator<T, R>, index: number): void => {
    source.next().then(
      (result) => arrive({ type: 'next', result, index, source }),
      (error: unknown) => arrive({ type: 'thrown', error, index, source }),
    )
  }
  const arrive = (arrival: Arrival<T, R>): void => {
    arrived.push(arrival)
    wake()
  }
  const begin = (): void => {
    while (running.size < limit && failure === undefined) {
      const source = waiting.shift()
      if (source === undefined) return
      running.add(source)
      pull(source, started++)
    }
  }
  const settle = (arrival: Exclude<Arrival<T, R>, { result: IteratorYieldResult<T> }>): void => {
    running.delete(arrival.source)
    if (arrival.type === 'thrown') {
      if (failure !== undefined) return
      failure = { error: arrival.error }
      stop?.(arrival.error)
    } else if (arrival.result.done === true) {
      results[arrival.index] = arrival.result.value
      waiting.push(...(more?.(arrival.result.value, arrival.index) ?? []))
      begin()
    }
  }

  try {
    begin()
    while (running.size > 0) {
      const arrival = arrived.shift()
      if (arrival === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      } else if (arrival.type === 'next' && arrival.result.done !== true) {
        yield arrival.result.value
        pull(arrival.source, arrival.index)
      } else {
        settle(arrival)
      }
    }
    if (failure !== undefined) throw failure.error
    return results
  } finally {
    if (running.size > 0) stop?.(undefined)
    await Promise.allSettled([...running, ...waiting].map((source) => source.return(undefined as R)))
  }
}

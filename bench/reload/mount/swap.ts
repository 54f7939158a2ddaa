import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'undici'
import { ask } from '../dev/subjects.ts'
import type { Contender } from './contender.ts'

/** After a call without an answer: a server that starts has the CPU to itself for that long. */
const PAUSE_MS = 2

export type Swap = {
  /** Milliseconds from the start of the swap, with the writing of the files, to the end of the first answer of them. */
  readonly served: number | undefined
  /** The same from the moment at which `..data` led to the new files. */
  readonly afterRename: number | undefined
  /** Calls that were not answered 200. */
  readonly dropped: number
}

export type Wanted = {
  readonly token: string /** How long it is waited for, in milliseconds. */
  readonly limitMs: number
}

/** Swaps, and asks on one connection, one call after the other, until an answer shows the token. */
export async function swapAndAsk(client: Client, contender: Contender, { token, limitMs }: Wanted): Promise<Swap> {
  const files = contender.files(token)
  const start = performance.now()
  const renamed = contender.directory.swap(files)
  let dropped = 0
  for (;;) {
    const text = await answerOf(client, contender)
    const now = performance.now()
    if (text?.includes(token)) return { served: now - start, afterRename: now - renamed, dropped }
    if (now - start > limitMs) return { served: undefined, afterRename: undefined, dropped }
    if (text === undefined) {
      dropped += 1
      await sleep(PAUSE_MS)
    }
  }
}

/** Undefined without an answer, or with one that is not 200. */
async function answerOf(client: Client, { call }: Contender): Promise<string | undefined> {
  try {
    const { status, text } = await ask(client, { call })
    return status === 200 ? text : undefined
  } catch {
    // The server is not there, or went while it was asked: that is what is counted.
    return undefined
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { judge, type Verdict } from './judge.ts'

const FAULTS = ['dropped', 'bad', 'older', 'mixed', 'unreadable'] as const
export type Fault = (typeof FAULTS)[number]
/** How many answers were not as they must be. A call without an answer, or with another status than 200, was dropped. */
export type Faults = Readonly<Record<Fault, number>>

/** What is asked, and how many marks of its version the answer has. */
type Question = { readonly path: string; readonly body: string; readonly marks: number; readonly isTimed: boolean }

const call = (waitMs: number): Question => ({
  path: '/tools/say/call',
  body: JSON.stringify({ arguments: { waitMs } }),
  marks: 2,
  isTimed: waitMs === 0,
})
const run = (message: string, marks: number): Question => ({
  path: '/agents/say/runs',
  body: JSON.stringify({ message, stream: false }),
  marks,
  isTimed: false,
})

/** Most calls end at once; some are under way for long enough to see a swap; runs must not see it. */
const TOOL_CALLS = [call(0), call(0), call(0), call(5)] as const
/** The answer of a run that calls the tool has the tool's result twice: as the model tells it, and as it was. */
const RUNS = [run('prompt', 2), run('tool', 6)] as const
/** One connection in so many asks the agent, the others call the tool. */
const ONE_IN_RUNS = 8

const EXAMPLES = 5
const EXAMPLE_LENGTH = 500

export type TrafficOptions = { readonly url: string; readonly connections: number }

/** Calls over connections that stay open, each asking again at once, and what came back. */
export class Traffic implements AsyncDisposable {
  readonly #clients: readonly Client[]
  readonly #faults: Record<Fault, number> = { dropped: 0, bad: 0, older: 0, mixed: 0, unreadable: 0 }
  readonly #examples: string[] = []
  #sent = 0
  #newestSeen = 0
  #newestWritten = 0

  constructor({ url, connections }: TrafficOptions) {
    this.#clients = Array.from({ length: connections }, () => new Client(url))
  }

  /** Calls that were sent so far. */
  get sent(): number {
    return this.#sent
  }

  get faults(): Faults {
    return { ...this.#faults }
  }

  /** The first few faults, in words. */
  get examples(): readonly string[] {
    return this.#examples
  }

  /** A good version is about to be written: from now on it may serve. */
  writes(version: number): void {
    this.#newestWritten = version
  }

  /**
   * Calls over all connections until it is over.
   * @returns how long those took that call the tool and do not wait in it, in milliseconds
   */
  async send(isOver: () => boolean): Promise<number[]> {
    const tookMs: number[] = []
    const connection = async (client: Client, index: number): Promise<void> => {
      const questions: readonly Question[] = index % ONE_IN_RUNS === 0 ? RUNS : TOOL_CALLS
      for (let turn = index; !isOver(); turn += 1) {
        const question = questions[turn % questions.length]
        if (question !== undefined) await this.#ask(client, question, tookMs)
      }
    }
    await Promise.all(this.#clients.map(connection))
    return tookMs
  }

  /** Calls until a version serves. @returns after how many milliseconds, undefined when it did not within the limit */
  async untilServed(version: number, limitMs: number): Promise<number | undefined> {
    const started = performance.now()
    const [client] = this.#clients
    while (client !== undefined && performance.now() - started < limitMs) {
      await this.#ask(client, TOOL_CALLS[0], [])
      if (this.#newestSeen >= version) return performance.now() - started
      await sleep(1)
    }
    return undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.destroy()))
  }

  async #ask(client: Client, { path, body, marks, isTimed }: Question, tookMs: number[]): Promise<void> {
    const [atLeast, started] = [this.#newestSeen, performance.now()]
    this.#sent += 1
    try {
      const headers = { 'content-type': 'application/json' }
      const answer = await client.request({ method: 'POST', path, headers, body })
      const text = await answer.body.text()
      if (isTimed) tookMs.push(performance.now() - started)
      if (answer.statusCode !== 200) return this.#fault('dropped', `${path} answered ${answer.statusCode}: ${text}`)
      const allowed = { atLeast, atMost: this.#newestWritten }
      this.#note(
        judge(text, marks, allowed),
        `when ${atLeast} to ${allowed.atMost} may serve, ${path} answered ${text}`,
      )
    } catch (error) {
      this.#fault('dropped', `${path}: ${error instanceof Error ? error.message : error}`)
    }
  }

  #note(verdict: Verdict, told: string): void {
    if (verdict.type === 'served') this.#newestSeen = Math.max(this.#newestSeen, verdict.version)
    else this.#fault(verdict.type, told)
  }

  #fault(fault: Fault, told: string): void {
    this.#faults[fault] += 1
    if (this.#examples.length < EXAMPLES) this.#examples.push(`${fault}: ${told}`.slice(0, EXAMPLE_LENGTH))
  }
}

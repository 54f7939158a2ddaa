import type { Session } from './session.ts'

/** One thing that a runtime must do. Starts from a runtime that holds the suite's settings and nothing else of it. */
export type Check = {
  /** A sentence that stays: other runtimes name their gaps by it. */
  readonly name: string
  /** @throws Unmet when the runtime does something else */
  readonly run: (session: Session) => Promise<void>
}

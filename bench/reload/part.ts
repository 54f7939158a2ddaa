import type { Context } from '../lib/bench.ts'
import type { Report } from '../lib/report.ts'

export type Setup = Context & {
  /** The program, built as in an image. */
  readonly main: string
  /** A folder for what is measured; it goes with the bench. */
  readonly home: string
}

/** One thing that is measured. */
export type Part = { readonly name: string; readonly measure: (setup: Setup) => Promise<Report> }

import { join } from 'node:path'
import type { Processes } from './processes.ts'
import type { Report } from './report.ts'

export type Context = {
  readonly processes: Processes
  /** How often the contenders are measured, in turn. */
  readonly rounds: number
  /** Few of everything: to see that it works. */
  readonly quick: boolean
  /** The one part of a bench that is wanted, where it has parts. */
  readonly only: string | undefined
  /** Where to keep CPU profiles of the runtime under load, when they are wanted. */
  readonly profileDir: string | undefined
  /** Tells a person how far it is. */
  readonly say: (line: string) => void
}

export type Bench = (context: Context) => Promise<Report>

/** The repository, whose own code is measured. */
export const ROOT = join(import.meta.dirname, '../..')

export const MAIN = join(ROOT, 'src/cli/main.ts')

export const QUICKSTART = join(ROOT, 'deploy/samples/quickstart')

import type { Readable } from 'node:stream'
import type { Environment } from './config.ts'

export type Output = NodeJS.WritableStream & {
  readonly isTTY?: boolean
  /** Width of a terminal in characters. */
  readonly columns?: number
}

/** What a command reads from and writes to. Results go to `stdout`, everything else to `stderr`. */
export type Io = {
  readonly stdin: Readable
  readonly stdout: Output
  readonly stderr: Output
  readonly environment: Environment
  /** Aborts when the process is asked to stop. */
  readonly signal: AbortSignal
}

/** Colours are for people: on a terminal, unless NO_COLOR says otherwise (https://no-color.org). */
export const hasColor = (output: Output, environment: Environment): boolean =>
  output.isTTY === true && (environment.NO_COLOR ?? '') === ''

export const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`

import type { Table, Target } from '../../bench/lib/report.ts'

/** How much of everything. */
export type Settings = {
  /** A few of everything, in seconds: to see that it works. */
  readonly isShort: boolean
  /** How much of the calls and swaps of `serving`: a whole number from 1 to 100. */
  readonly percent: number
  readonly seed: number
}

/** What the figures of a part mean. */
export type Findings = {
  /** What must hold. */
  readonly targets: readonly Target[]
  /** What holds on a machine that does nothing else. */
  readonly timings: readonly Target[]
  readonly tables: readonly Table[]
  /** What was seen that must not be, in words. */
  readonly examples: readonly string[]
}

/** A part of the soak: a program that prints its figures as JSON on the last line of its output. */
export type Part = {
  readonly name: string
  /** For `--help`. */
  readonly shows: string
  /**
   * Program and arguments.
   * @throws Error when it cannot run on this machine
   */
  readonly command: (settings: Settings, say: (line: string) => void) => Promise<readonly [string, ...string[]]>
  /** @param figures what the program printed */
  readonly findings: (figures: unknown, settings: Settings) => Findings
}

/**
 * Growth that is none, in bytes of live heap for each reload. Of the first 16,384 of a runtime each leaves an event of
 * some 350 bytes, which is kept on purpose.
 */
export const FLAT_BYTES = 512

/** A count that must be none. */
export const none = (what: string, value: number): Target => ({ what, unit: '', value, atMost: 0 })

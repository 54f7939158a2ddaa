import type { Command } from 'commander'
import type { Io } from '../io.ts'

/** Takes the exit code of the command that ran. */
export type Finish = (code: number) => void

/** Adds commands that belong together. */
export type CommandGroup = (program: Command, io: Io, finish: Finish) => void

/** For an option that may be repeated. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]

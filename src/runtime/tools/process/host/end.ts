import type { EndCause } from '../../../../api/index.ts'
import { messageOf } from '../../modules/thrown.ts'

/** How a host ended. `message` completes the sentence "the process of the tools …". */
export type HostEnd = {
  readonly cause: EndCause
  readonly message: string
  readonly stack?: string
  /** Tools and files of extensions whose calls it was about. */
  readonly during?: readonly string[]
}

const MIB = 1_048_576

export const overMemory = (bytes: number, limitMiB: number): HostEnd => ({
  cause: 'memory',
  message: `used ${Math.ceil(bytes / MIB)} MiB of memory, more than spec.tools.memoryMiB: ${limitMiB}`,
})

/** @param bytes that it had of its own when it and the others had nearly filled the container */
export const crowdedOut = (bytes: number, containerBytes: number): HostEnd => ({
  cause: 'memory',
  message: `was ended with ${Math.ceil(bytes / MIB)} MiB of memory, before it and the others had filled the container: raise spec.resources.limits.memory (${Math.floor(containerBytes / MIB)}Mi)`,
})

/** What the system says when it starts no process, by its code, and what helps. */
const SHORTAGES: Readonly<Record<string, string>> = {
  EAGAIN: 'the limit of processes and threads is reached: raise the pids limit of the container or `ulimit -u`',
  EMFILE: 'this process has as many files open as it may: raise `ulimit -n`',
  ENFILE: 'the machine has as many files open as it may: raise `fs.file-max`',
  ENOMEM: 'there is no memory for another process: raise spec.resources.limits.memory',
}

/** A process that never came to be. */
export function notStarted(error: unknown): HostEnd {
  const code = String(Object(error).code ?? error)
  return { cause: 'exit', message: `could not be started (${code}): ${SHORTAGES[code] ?? messageOf(error)}` }
}

/** A process that ended by itself, by its exit code or signal. */
export function endOf(code: number | null, signal: NodeJS.Signals | null): HostEnd {
  switch (signal) {
    case null:
      return { cause: 'exit', message: `ended itself with exit code ${code}` }
    case 'SIGKILL':
      return { cause: 'memory', message: 'was killed by the system (SIGKILL), as it does when memory runs out' }
    case 'SIGABRT':
      return { cause: 'signal', message: 'aborted (SIGABRT): process.abort(), or its heap was full' }
    default:
      return { cause: 'signal', message: `crashed (${signal})` }
  }
}

/** How far a load is. */
export type LoadPhase =
  | { readonly type: 'preparing' }
  | { readonly type: 'evaluating'; readonly file: string }
  /** Self-tests run side by side: those that were begun. */
  | { readonly type: 'checking'; readonly tests: readonly [SelfTest, ...SelfTest[]] }
type SelfTest = { readonly tool: string; readonly file: string }

/** What a host was asked for and could not answer: the host is gone. */
export class HostLost extends Error {
  readonly end: HostEnd
  /** Whether code may have begun with it. */
  readonly begun: boolean
  /** How far a load was that had begun. */
  readonly phase: LoadPhase

  constructor(end: HostEnd, begun: boolean, phase: LoadPhase = { type: 'preparing' }) {
    super(end.message)
    this.end = end
    this.begun = begun
    this.phase = phase
  }
}

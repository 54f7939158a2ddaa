import type { EndCause } from '../../../../api/index.ts'

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

/** A call that its host could not answer: the host is gone. */
export class HostLost extends Error {
  readonly end: HostEnd
  /** Whether code had begun with it. */
  readonly begun: boolean

  constructor(end: HostEnd, begun: boolean) {
    super(end.message)
    this.end = end
    this.begun = begun
  }
}

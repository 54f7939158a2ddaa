/** Why a host ended, as metrics tell it. */
export const END_CAUSES = ['memory', 'deadline', 'exit', 'signal', 'uncaught', 'protocol'] as const
export type EndCause = (typeof END_CAUSES)[number]

/** How a host ended. `message` completes the sentence "the process of the tools …". */
export type HostEnd = { readonly cause: EndCause; readonly message: string; readonly stack?: string }

const MIB = 1_048_576

export const overMemory = (bytes: number, limitMiB: number): HostEnd => ({
  cause: 'memory',
  message: `used ${Math.ceil(bytes / MIB)} MiB of memory, more than spec.tools.memoryMiB: ${limitMiB}`,
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

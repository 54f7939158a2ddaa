import type { BundleFiles } from '../../../api/index.ts'
import { ProblemError } from '../../../api/index.ts'
import { refusedByV8 } from '../modules/compile.ts'
import type { Linker } from '../modules/link.ts'
import type { Program } from '../modules/program.ts'
import type { Trace } from '../modules/thrown.ts'
import type { HostLoss } from '../port.ts'
import type { Work } from './channel/messages.ts'
import { Refused } from './host/calls.ts'
import { type HostEnd, HostLost } from './host/end.ts'
import { placeOfPhase } from './host/loading.ts'

/** What tells of failures in the words of the source, as its author wrote it. */
export type Source = {
  readonly bundle: BundleFiles
  readonly program: Program
  readonly linker: Linker
  readonly trace: Trace
}

/** A failure of a load, of whatever kind. */
export function loadProblem(error: unknown, source: Source): unknown {
  if (error instanceof Refused) return refusedProblem(error, source)
  if (!(error instanceof HostLost)) return error
  const { begun, phase, end } = error
  if (!begun) return unavailable(end, source)
  const { what, file } = placeOfPhase(phase)
  const place = placeOf(end.stack ?? '', source) ?? (file === undefined ? {} : { file })
  const reason = phase.type === 'checking' ? 'SelfTestFailed' : 'ToolLoadFailed'
  const message = `${what} failed: the process of the tools ${end.message}`
  return new ProblemError({ reason, message, ...place }, { cause: error })
}

/** Nothing of the bundle had begun: whatever is wrong, its files are not. */
function unavailable({ message }: HostEnd, { bundle }: Source): ProblemError {
  const told = `there is no process for the tools of bundle ${bundle.name}: it ${message}`
  return new ProblemError({ reason: 'ToolHostUnavailable', message: told })
}

/** A failure of a call, of whatever kind. */
export function callProblem(error: unknown, work: Work, file: string | undefined, source: Source): unknown {
  if (error instanceof Refused) return refusedProblem(error, source)
  if (!(error instanceof HostLost)) return error
  const { message, stack = '' } = error.end
  const place = placeOf(stack, source) ?? (file === undefined ? {} : { file })
  const process = `the process of the tools of bundle ${source.bundle.name} ${message}`
  return work.type === 'tool'
    ? new ProblemError({ reason: 'ToolFailed', message: `tool ${work.name} failed: ${process}`, ...place })
    : new ProblemError({ reason: 'ExtensionFailed', message: `${work.file} failed: ${process}`, ...place })
}

/** The end of a host that served, for who called nothing. */
export function lossOf({ cause, message, stack = '', during = [] }: HostEnd, source: Source): HostLoss {
  const calls = during.length === 0 ? '' : `; calls under way: ${during.join(', ')}`
  const told = `the process of the tools of bundle ${source.bundle.name} ${message}${calls}`
  return { cause, message: told, ...placeOf(stack, source) }
}

function refusedProblem({ failure }: Refused, source: Source): unknown {
  const { problem, stack, imported, refused } = failure
  const module = refused === undefined ? undefined : source.program.modules.get(refused)
  if (module !== undefined)
    return refusedByV8(module, source.bundle.files.get(module.path), new SyntaxError(problem.message))
  const error = new ProblemError({ ...problem, ...placeOf(stack, source) })
  return imported === undefined ? error : source.linker.located(error, imported.from, imported.specifier)
}

/** Where a stack of evaluated code begins, in the source. */
function placeOf(stack: string, { trace }: Source): ReturnType<Trace> {
  if (stack === '') return undefined
  const thrown = new Error('thrown in a host')
  thrown.stack = stack
  return trace(thrown)
}

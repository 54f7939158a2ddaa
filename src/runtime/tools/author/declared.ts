import { ProblemError, type Reason } from '../../../api/reason.ts'
import { messageOf, type Trace } from '../modules/thrown.ts'

/** How the default export of a file with a role is told of. */
export type Wanted = {
  readonly reason: Extract<Reason, 'InvalidTool' | 'InvalidExtension'>
  /** What the file should say. */
  readonly shape: string
  /** What to do with a file that is none. */
  readonly otherwise: string
}

export const invalid = ({ reason }: Wanted, file: string, message: string): ProblemError =>
  new ProblemError({ reason, message: `${file}: ${message}`, file })

/** @throws ProblemError of the wanted reason */
export function defaultOf(wanted: Wanted, file: string, exports: object): object {
  const declared: unknown = Reflect.get(exports, 'default')
  if (declared === undefined)
    throw invalid(wanted, file, `the file has no default export: write ${wanted.shape}, or ${wanted.otherwise}`)
  if (typeof declared !== 'object' || declared === null)
    throw invalid(wanted, file, `the default export is no object: write ${wanted.shape}`)
  return declared
}

/**
 * Getters and proxies of the file's own may throw anything while it is read.
 * @throws ProblemError
 */
export function readGuarded<T>(wanted: Wanted, file: string, trace: Trace, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof ProblemError) throw error
    const { reason } = wanted
    const message = `${file}: the default export cannot be read: ${messageOf(error)}`
    throw new ProblemError({ reason, message, file, ...trace(error) }, { cause: error })
  }
}

/** Warnings of fields that mean nothing in a default export, perhaps misspelt. */
export function unknownFields(
  file: string,
  { default: declared }: { readonly default?: unknown },
  { kind, known }: { readonly kind: 'tool' | 'extension'; readonly known: ReadonlySet<string> },
): string[] {
  if (typeof declared !== 'object' || declared === null) return []
  return Object.keys(declared)
    .filter((field) => !known.has(field))
    .map((field) => `${file}: unknown field "${field}" of the ${kind}; known are ${[...known].join(', ')}`)
}

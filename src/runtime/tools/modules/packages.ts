import { ProblemError } from '../../../api/reason.ts'
import { decorate, decorateParam } from './decorate.ts'

/** What compiled decorators import: it is not asked of a package. */
const HELPERS: ReadonlyMap<string, object> = new Map([
  ['@oxc-project/runtime/helpers/decorate', { default: decorate }],
  ['@oxc-project/runtime/helpers/decorateParam', { default: decorateParam }],
])

/** Whether the compiler asks for it, not the author. */
export const isHelper = (specifier: string): boolean => HELPERS.has(specifier)

/**
 * A package of the runtime, or a module of Node: loaded once in the process, and shared by all bundles and versions.
 * @throws ProblemError ImportNotFound, ToolLoadFailed
 */
export async function importPackage(from: string, specifier: string): Promise<object> {
  try {
    return HELPERS.get(specifier) ?? (await import(specifier))
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const isMissing = /^(Cannot find (module|package)|Package subpath|No known conditions)/.test(message)
    throw new ProblemError(
      isMissing
        ? {
            reason: 'ImportNotFound',
            message: `package "${specifier}" is not installed in the runtime's image`,
            file: from,
          }
        : { reason: 'ToolLoadFailed', message: `package "${specifier}" failed to load: ${message}`, file: from },
      { cause: error },
    )
  }
}

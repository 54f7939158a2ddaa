import { ProblemError } from '../../../api/index.ts'

/**
 * A package of the runtime, or a module of Node: loaded once in the process, and shared by all bundles and versions.
 * @throws ProblemError ImportNotFound, ToolLoadFailed
 */
export async function importPackage(from: string, specifier: string): Promise<object> {
  try {
    return await import(specifier)
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

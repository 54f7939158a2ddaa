import type { JSONObject, JSONSchema7, JSONValue } from '@ai-sdk/provider'
import type { BundleFiles } from '../../api/index.ts'

/** A tool as its file declares it. `parameters` is JSON Schema, also where the file gave zod. */
export type ToolDescription = {
  readonly name: string
  readonly bundle: string
  /** Path of its file within the bundle. */
  readonly file: string
  readonly description: string
  readonly parameters: JSONSchema7
}

export type ToolCallContext = {
  /** Aborted when the run ends, is cancelled, or the call's time is up. */
  readonly signal: AbortSignal
  readonly session?: { readonly id: string }
  readonly run?: { readonly id: string; readonly agent: string }
}

/** The loaded tools of one version of one bundle. */
export interface ToolSet {
  readonly tools: readonly ToolDescription[]
  /** What the load found worth telling, though nothing is wrong with the bundle. */
  readonly warnings: readonly string[]
  /**
   * Calls a tool. The result is plain JSON: it has been through JSON once, whatever the tool returned.
   * @throws ProblemError InvalidArguments, ToolFailed, ToolTimeout, InvalidToolResult, ToolResultTooLarge
   */
  call(tool: string, args: JSONObject, context: ToolCallContext): Promise<JSONValue>
  /** Ends what the version still holds. Idempotent; calls under way end with an aborted signal. */
  dispose(): Promise<void>
}

export type ToolLoadOptions = {
  /** npm packages that files may import. */
  readonly packages: readonly string[]
  /** Longest evaluation of all files together, in milliseconds. */
  readonly timeoutMs: number
}

/** Where tool code runs: in this thread, or in a child process. */
export interface ToolHost {
  /**
   * Loads all tool files of a bundle, or none.
   * @throws ProblemError InvalidSyntax, ImportNotFound, PackageNotAllowed, ToolLoadFailed, ToolLoadTimeout, InvalidTool,
   *   DuplicateTool; with file, line and column of the source as it was written
   */
  load(bundle: BundleFiles, options: ToolLoadOptions): Promise<ToolSet>
}

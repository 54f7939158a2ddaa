import type { JSONObject, JSONSchema7, JSONValue } from '@ai-sdk/provider'
import type { BundleFiles, EndCause, ExtensionPoint } from '../../api/index.ts'
import type { LogLevel } from '../../log.ts'

/** A tool as its file declares it. `parameters` is JSON Schema, also where the file gave zod. */
export type ToolDescription = {
  readonly name: string
  readonly bundle: string
  /** Path of its file within the bundle. */
  readonly file: string
  readonly description: string
  readonly parameters: JSONSchema7
  /** A call may be made once more when it is not known how the first one ended. */
  readonly idempotent?: true
}

/** An extension as its file's path declares it. `name` is the file's name without point, infix and ending. */
export type ExtensionDescription = {
  readonly name: string
  readonly bundle: string
  /** Path of its file within the bundle. */
  readonly file: string
  readonly point: ExtensionPoint
}

/** A line that tool code logs. Plain data. */
export type ToolLogLine = { readonly level: LogLevel; readonly message: string; readonly fields?: JSONObject }

export type ToolCallContext = {
  /** Aborted when the run ends, is cancelled, or the call's time is up. */
  readonly signal: AbortSignal
  readonly session?: { readonly id: string }
  readonly run?: { readonly id: string; readonly agent: string }
  /** Values of `spec.tools.secrets` as they are at the moment of the call, by name. */
  readonly secrets?: Readonly<Record<string, string>>
  /** Where lines go that the code logs: nowhere, when absent. Never throws, never waits. */
  readonly log?: (line: ToolLogLine) => void
}

/** How a version was loaded: which of its modules are new instances, in order of evaluation, and which were kept. */
export type LoadReport = {
  readonly reloaded: readonly string[]
  readonly kept: readonly string[]
  /** In milliseconds. */
  readonly stages: { readonly transform: number; readonly load: number; readonly check: number }
}

/** The loaded tools and extensions of one version of one bundle. */
export interface ToolSet {
  readonly tools: readonly ToolDescription[]
  readonly extensions: readonly ExtensionDescription[]
  /** What the load found worth telling, though nothing is wrong with the bundle. */
  readonly warnings: readonly string[]
  readonly report: LoadReport
  /**
   * Calls a tool. The result is plain JSON: it has been through JSON once, whatever the tool returned.
   * @throws ProblemError InvalidArguments, ToolFailed, ToolTimeout, InvalidToolResult, ToolResultTooLarge
   */
  call(tool: string, args: JSONObject, context: ToolCallContext): Promise<JSONValue>
  /**
   * Runs an extension file on an event.
   * @returns the change that it asks for, as plain JSON, or null
   * @throws ProblemError ExtensionFailed, with file, line and column where they are known
   */
  extend(file: string, event: JSONObject, context: ToolCallContext): Promise<JSONValue>
  /** Ends what the version still holds. Idempotent; calls under way end with an aborted signal. */
  dispose(): Promise<void>
}

export type ToolLoadOptions = {
  /** npm packages that files may import. */
  readonly packages: readonly string[]
  /** Longest evaluation of all files together, in milliseconds. */
  readonly timeoutMs: number
  /** Version that serves now: its untouched modules are kept where the host can. */
  readonly previous?: ToolSet | undefined
  /** What self-tests are given besides their signal. */
  readonly context?: Pick<ToolCallContext, 'secrets' | 'log'> | undefined
  /** Told of each process of this version that ended before its time. Must not throw. */
  readonly onHostLost?: ((loss: HostLoss) => void) | undefined
  /** Where the settings want code to run. */
  readonly hosting?: Hosting | undefined
}

/** How a process that served tool code ended: in code's own words also, which may hold secrets. */
export type HostLoss = {
  readonly cause: EndCause
  readonly message: string
  readonly file?: string
  readonly line?: number
  readonly column?: number
}

/** In a process of its own, or in this thread. */
export type Isolation = 'process' | 'none'

/** `spec.tools` as far as it is about processes; a host that has none passes it over. */
export type Hosting = { readonly isolation?: Isolation | undefined; readonly memoryMiB: number }

/** Where tool code runs: in this thread, or in a child process. */
export interface ToolHost {
  /**
   * Loads all tool and extension files of a bundle, or none, and runs the self-tests of its tools.
   * @throws ProblemError InvalidSyntax, ImportNotFound, PackageNotAllowed, ToolLoadFailed, ToolLoadTimeout, InvalidTool,
   *   DuplicateTool, InvalidExtension, SelfTestFailed; with file, line and column of the source as it was written
   */
  load(bundle: BundleFiles, options: ToolLoadOptions): Promise<ToolSet>
}

import type { JSONObject, JSONSchema7, JSONValue } from '@ai-sdk/provider'
import type { Problem } from '../../../../api/index.ts'
import type { StateValues } from '../../author/state.ts'
import type { ModuleCode, Program } from '../../modules/program.ts'
import type { Target } from '../../modules/resolve.ts'
import type { ToolCallContext } from '../../port.ts'

/** Longest frame to a host: a whole bundle, compiled. */
export const MAX_FRAME_TO_HOST = 64 * 1_048_576

/** A program as it goes over the channel. */
export type ProgramData = Omit<Program, 'modules'> & { readonly modules: readonly ModuleCode[] }

/** What a call brings, but its signal and its log: those are on either side of the channel. */
export type ContextData = Pick<ToolCallContext, 'session' | 'run' | 'secrets'>

/** What code is asked to do. */
export type Work =
  | { readonly type: 'tool'; readonly name: string; readonly args: JSONObject }
  | { readonly type: 'extension'; readonly file: string; readonly event: JSONObject }

export type LoadMessage = {
  readonly type: 'load'
  readonly program: ProgramData
  readonly states: StateValues
  readonly timeoutMs: number
  /** Whether self-tests run: on a candidate, not where it only takes the place of a host that died. */
  readonly check: boolean
  readonly context: ContextData
}

/** To be done and forgotten, but for the checks of the schemas, which are kept for tools that declare one of them. */
export type WarmMessage = {
  readonly type: 'warm'
  readonly load: LoadMessage
  readonly work: Work
  readonly schemas: readonly JSONSchema7[]
}

/** What a host is told. */
export type ToHost =
  | LoadMessage
  | WarmMessage
  | { readonly type: 'call'; readonly id: number; readonly work: Work; readonly context: ContextData }
  | { readonly type: 'abort'; readonly id: number; readonly reason: string }
  | { readonly type: 'linked'; readonly id: number; readonly target: Target; readonly modules: readonly ModuleCode[] }
  | { readonly type: 'notLinked'; readonly id: number; readonly problem: Problem }
  /** Another process has set it, after `seen` was the last write of this one that had come. */
  | { readonly type: 'state'; readonly name: string; readonly value: JSONValue; readonly seen: number }
  /** To be answered by `pong` as soon as the event loop turns. */
  | { readonly type: 'ping' }
  | { readonly type: 'end' }

// What files of a bundle get when they import 'midflight'. The types are published for editors: nothing is imported here.

/** Anything that JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined }

type Fields = Readonly<Record<string, unknown>>

/** Writes to the runtime's log, with the bundle and the tool or extension. Never throws, never waits. */
export type ToolLog = {
  debug(message: string, fields?: Fields): void
  info(message: string, fields?: Fields): void
  warn(message: string, fields?: Fields): void
  error(message: string, fields?: Fields): void
}

/** What a tool or an extension is told of its call. */
export type ToolContext = {
  /** Aborts when the call's time is up, or the run ends. Hand it on to whatever waits, such as `fetch`. */
  readonly signal: AbortSignal
  /** The conversation; absent outside of one. */
  readonly session: { readonly id: string } | undefined
  /** The run that calls; absent outside of one. */
  readonly run: { readonly id: string; readonly agent: string } | undefined
  readonly log: ToolLog
  /** Values of the AgentRuntime's `spec.tools.secrets` as they are now. A Secret that does not exist is undefined. */
  readonly secrets: Readonly<Record<string, string | undefined>>
}

/** JSON Schema of an object: draft 7, or 2020-12 when `$schema` says so. */
export type ObjectSchema = { readonly type: 'object'; readonly [keyword: string]: unknown }

/** A schema of zod 4, seen from outside. */
export type ZodSchema = { readonly _zod: { readonly output: unknown } }

type Show<T> = { [K in keyof T]: T[K] }

type NamesOf<List> = List extends readonly (infer Name)[] ? Name : never

/** Fields that are always there once the arguments were checked: the required ones, and those with a default. */
type SureKeys<Properties, Required> = {
  [K in keyof Properties]: K extends NamesOf<Required> ? K : Properties[K] extends { default: unknown } ? K : never
}[keyof Properties]

type ObjectOf<Properties, Required> = Show<
  { -readonly [K in SureKeys<Properties, Required>]: FromSchema<Properties[K]> } & {
    -readonly [K in Exclude<keyof Properties, SureKeys<Properties, Required>>]?: FromSchema<Properties[K]>
  }
>

type FromSchema<S> = S extends { const: infer Value }
  ? Value
  : S extends { enum: readonly (infer Value)[] }
    ? Value
    : S extends { type: 'string' }
      ? string
      : S extends { type: 'number' | 'integer' }
        ? number
        : S extends { type: 'boolean' }
          ? boolean
          : S extends { type: 'null' }
            ? null
            : S extends { type: 'array'; items: infer Item }
              ? FromSchema<Item>[]
              : S extends { type: 'array' }
                ? unknown[]
                : S extends { type: 'object'; properties: infer Properties }
                  ? ObjectOf<Properties, S extends { required: infer Required } ? Required : never>
                  : S extends { type: 'object' }
                    ? Record<string, unknown>
                    : unknown

/** What `execute` is called with when a tool has these `parameters`. */
export type ArgumentsOf<P> = [P] extends [undefined]
  ? Record<string, never>
  : P extends { readonly _zod: { readonly output: infer Output } }
    ? Output
    : FromSchema<P>

/** The default export of a tool file. */
export type Tool<P extends ZodSchema | ObjectSchema | undefined = undefined> = {
  /** Letters, digits, `_` and `-`, at most 64; the file's name when it is left out. */
  readonly name?: string
  /** Tells the model what the tool does, and when to call it. */
  readonly description: string
  /** What it takes: JSON Schema or zod 4. Arguments are checked, and defaults filled in, before `execute` runs. */
  readonly parameters?: P
  /** It may be called once more when it is not known how a call ended, such as after its process died. */
  readonly idempotent?: boolean
  /** Returns data, or a promise of it: what JSON can say, at most 1 MiB. What it throws is told to the model. */
  execute(args: ArgumentsOf<P>, context: ToolContext): unknown
  /** Runs before a new version serves. A throw, or 5 s, refuses the version, and the one before serves on. */
  selfTest?(context: ToolContext): unknown
}

/** Types a tool: `export default tool({ description, parameters, execute })`. Returns what it is given. */
export function tool<const P extends ZodSchema | ObjectSchema | undefined = undefined>(definition: Tool<P>): Tool<P> {
  return definition
}

type Extra = { readonly providerOptions?: Readonly<Record<string, Readonly<Record<string, Json>>>> }
export type TextPart = { readonly type: 'text'; readonly text: string } & Extra
export type ReasoningPart = { readonly type: 'reasoning'; readonly text: string } & Extra
export type ToolCallPart = {
  readonly type: 'tool-call'
  readonly toolCallId: string
  readonly toolName: string
  readonly input: Json
} & Extra
export type ToolResultPart = {
  readonly type: 'tool-result'
  readonly toolCallId: string
  readonly toolName: string
  readonly output:
    | { readonly type: 'text'; readonly value: string }
    | { readonly type: 'json'; readonly value: Json }
    | { readonly type: 'error-text'; readonly value: string }
} & Extra

/** A message of the conversation as it goes to the model. */
export type Message =
  | { readonly role: 'user'; readonly content: readonly TextPart[] }
  | { readonly role: 'assistant'; readonly content: readonly (TextPart | ReasoningPart | ToolCallPart)[] }
  | { readonly role: 'tool'; readonly content: readonly ToolResultPart[] }

type Call = { readonly id: string; readonly tool: string }
type Failure = { readonly reason: string; readonly message: string }

/** What happens at each point: the event that an extension is called with, and the changes that it may return. */
export type ExtensionPoints = {
  run_start: {
    event: { readonly point: 'run_start'; readonly message: string }
    change: { readonly message: string } | { readonly refuse: string }
  }
  before_model: {
    /** `step` counts the run's model calls from 1. A change is for this call alone. */
    event: {
      readonly point: 'before_model'
      readonly step: number
      readonly system: string
      readonly messages: readonly Message[]
    }
    change: { readonly system?: string; readonly messages?: readonly Message[] }
  }
  after_model: {
    event: {
      readonly point: 'after_model'
      readonly step: number
      readonly text: string
      readonly calls: readonly (Call & { readonly arguments: Json })[]
    }
    change: { readonly text: string }
  }
  before_tool: {
    event: { readonly point: 'before_tool'; readonly call: Call; readonly arguments: Readonly<Record<string, Json>> }
    change: { readonly arguments: Readonly<Record<string, Json>> } | { readonly refuse: string }
  }
  after_tool: {
    /** Either `result`, or `error` where the call failed. A returned result takes the place of both. */
    event: {
      readonly point: 'after_tool'
      readonly call: Call
      readonly arguments: Readonly<Record<string, Json>>
      readonly result?: Json
      readonly error?: Failure
    }
    change: { readonly result: Json }
  }
  run_end: {
    /** `content` is the answer of a run that completed, `error` says why one did not. */
    event: {
      readonly point: 'run_end'
      readonly status: 'completed' | 'failed' | 'cancelled'
      readonly content?: string
      readonly error?: Failure
    }
    change: { readonly content: string }
  }
}

export type ExtensionPoint = keyof ExtensionPoints

/** An event; `event.point` tells which. */
export type ExtensionEvent<P extends ExtensionPoint = ExtensionPoint> = { [K in P]: ExtensionPoints[K]['event'] }[P]

/** What an extension may ask for. Nothing returned changes nothing. */
export type ExtensionChange<P extends ExtensionPoint = ExtensionPoint> = { [K in P]: ExtensionPoints[K]['change'] }[P]

// biome-ignore lint/suspicious/noConfusingVoidType: an extension that only looks on has no return statement
type Nothing = void | null | undefined

/** The default export of an extension file. */
export type Extension<P extends ExtensionPoint = ExtensionPoint> = {
  execute(
    event: ExtensionEvent<P>,
    context: ToolContext,
  ): ExtensionChange<P> | Nothing | Promise<ExtensionChange<P> | Nothing>
}

/** Types an extension: `export default extension<'run_start'>({ execute(event) { … } })`. Returns what it is given. */
export function extension<P extends ExtensionPoint = ExtensionPoint>(definition: Extension<P>): Extension<P> {
  return definition
}

/** A value that outlives a reload. */
export type State<T> = { value: T }

/**
 * A value of the bundle under a name: what was last set, also by an earlier version; `initial` before that. It is JSON,
 * and frozen: set a new value instead of changing the one that is there. All values of a bundle have 1 MiB together.
 * Outside of a runtime, as in a test of one's own, it is kept in this object.
 * @throws TypeError when name or value cannot be; RangeError when it is too large
 */
export function defineState<T>(_name: string, initial: T): State<T> {
  return { value: initial }
}

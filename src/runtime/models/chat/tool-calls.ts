import { randomUUID } from 'node:crypto'
import {
  InvalidResponseDataError,
  type LanguageModelV4StreamPart,
  type SharedV4ProviderMetadata,
} from '@ai-sdk/provider'
import type { ToolCallDelta } from './chunk.ts'
import { beginsObject, JsonExtent } from './json-extent.ts'

type Emit = (part: LanguageModelV4StreamPart) => void

type Call = {
  readonly id: string
  readonly name: string
  /** Under which it began; servers may leave it out. */
  readonly index: number | undefined
  readonly signature: string | undefined
  /** What the server has called it since. */
  readonly ids: Set<string>
  readonly indexes: Set<number>
  readonly extent: JsonExtent
  input: string
}

/** A delta with blank texts taken for missing ones. */
type Labels = { readonly id: string | undefined; readonly index: number | undefined; readonly name: string | undefined }

/** Which call a delta belongs to. What fits more than one is left out. */
type Owner = Call | 'new' | 'unclear'

type Waiting = { id: string | undefined; input: string; extra: ToolCallDelta['extra_content'] }

/**
 * Puts tool calls together from the pieces in which a server streams them: by index where it sends one, else by id or
 * name, as servers leave out, repeat or reuse each of them. A call ends with the stream: arguments that parse may still
 * be the beginning of longer ones.
 */
export class ToolCalls {
  readonly #calls: Call[] = []
  /** By index: calls whose name has yet to come. */
  readonly #waiting = new Map<number, Waiting>()
  readonly #named = new Set<number>()
  readonly #emit: Emit
  readonly #metadataKey: string

  /** @param metadataKey the provider's name in the metadata of a call */
  constructor(emit: Emit, metadataKey: string) {
    this.#emit = emit
    this.#metadataKey = metadataKey
  }

  /** @throws InvalidResponseDataError for a call without a name */
  add(delta: ToolCallDelta): void {
    const { index } = delta
    if (typeof index !== 'number' || this.#named.has(index)) {
      this.#take(delta)
      return
    }
    const waiting = this.#wait(index, delta)
    const { name } = delta.function
    if (typeof name !== 'string') return
    this.#take({ index, id: waiting.id, function: { name, arguments: waiting.input }, extra_content: waiting.extra })
    this.#waiting.delete(index)
    this.#named.add(index)
  }

  /** @throws InvalidResponseDataError for a call whose name never came */
  end(): void {
    for (const [index, { id, input }] of this.#waiting) this.#take({ index, id, function: { arguments: input } })
    for (const call of inOrder(this.#calls)) {
      this.#emit({ type: 'tool-input-end', id: call.id })
      this.#emit({
        type: 'tool-call',
        toolCallId: call.id,
        toolName: call.name,
        input: call.input,
        ...this.#metadataOf(call),
      })
    }
  }

  #wait(index: number, { id, function: { arguments: input }, extra_content: extra }: ToolCallDelta): Waiting {
    const waiting = this.#waiting.get(index) ?? { id: undefined, input: '', extra: undefined }
    waiting.id ??= id ?? undefined
    waiting.extra ??= extra
    waiting.input += input ?? ''
    this.#waiting.set(index, waiting)
    return waiting
  }

  #take(delta: ToolCallDelta): void {
    const { name, arguments: piece } = delta.function
    const labels = { id: filled(delta.id), index: delta.index ?? undefined, name: filled(name) }
    const owner = ownerOf(this.#calls, labels, piece ?? '')
    if (owner === 'unclear') return
    // A blank name is repeated by some servers; it begins nothing.
    if (owner === 'new' && typeof name === 'string' && labels.name === undefined) return
    const call = owner === 'new' ? this.#begin(delta, labels) : owner
    if (labels.id !== undefined) call.ids.add(labels.id)
    if (labels.index !== undefined) call.indexes.add(labels.index)
    if (typeof piece !== 'string' || (owner === 'new' && piece === '')) return
    call.input += piece
    call.extent.add(piece)
    this.#emit({ type: 'tool-input-delta', id: call.id, delta: piece })
  }

  #begin(delta: ToolCallDelta, { id: wanted, index, name }: Labels): Call {
    if (name === undefined) {
      throw new InvalidResponseDataError({ data: delta, message: 'the model called a tool without naming it' })
    }
    const isFree = wanted !== undefined && !this.#calls.some(({ id }) => id === wanted)
    const call: Call = {
      id: isFree ? wanted : `call_${randomUUID()}`,
      name,
      index,
      signature: delta.extra_content?.google?.thought_signature ?? undefined,
      ids: new Set(),
      indexes: new Set(),
      extent: new JsonExtent(),
      input: '',
    }
    this.#calls.push(call)
    this.#emit({ type: 'tool-input-start', id: call.id, toolName: name })
    return call
  }

  #metadataOf({ signature }: Call): { providerMetadata?: SharedV4ProviderMetadata } {
    return signature ? { providerMetadata: { [this.#metadataKey]: { thoughtSignature: signature } } } : {}
  }
}

const filled = (text: string | null | undefined): string | undefined => (text?.trim() ? text : undefined)

/** By index where every call has one, else as they came. */
function inOrder(calls: readonly Call[]): readonly Call[] {
  if (calls.some(({ index }) => index === undefined)) return calls
  return calls.toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0))
}

function ownerOf(calls: readonly Call[], { id, index, name }: Labels, input: string): Owner {
  const isStart = name !== undefined && beginsObject(input)
  const here = index === undefined ? [] : calls.filter(({ indexes }) => indexes.has(index))
  const fitting = here.filter((call) => name === undefined || call.name === name)
  if (id === undefined) {
    if (here.length > 0) return oneOf(fitting, isStart)
    return name === undefined ? oneOf(calls, false) : 'new'
  }
  const known = calls.filter(({ ids }) => ids.has(id))
  if (known.length > 0) return ownerOfKnownId(known, { here, fitting, isStart }, { index, name })
  if (fitting.length === 0) return 'new'
  // A call may change its id between its pieces, as long as its arguments have not ended.
  return isStart ? 'new' : oneOf(fitting, name !== undefined && input.trim() === '')
}

type AtIndex = { readonly here: readonly Call[]; readonly fitting: readonly Call[]; readonly isStart: boolean }

/** Servers reuse an id for calls side by side, so an index or a name that differs outweighs it. */
function ownerOfKnownId(
  known: readonly Call[],
  { here, fitting, isStart }: AtIndex,
  { index, name }: Pick<Labels, 'index' | 'name'>,
): Owner {
  if (index === undefined) {
    return name === undefined
      ? oneOf(known, false)
      : oneOf(
          known.filter((call) => call.name === name),
          isStart,
        )
  }
  const owner = oneOf(
    fitting.filter((call) => known.includes(call)),
    isStart,
  )
  if (owner !== 'new') return owner
  if (name !== undefined) return 'new'
  return here.length > 0 ? 'unclear' : oneOf(known, false)
}

/** @param isStart what came may begin a call: the arguments of those that ended are not gone on with */
function oneOf(candidates: readonly Call[], isStart: boolean): Owner {
  const [first, ...others] = candidates
  if (first === undefined) return 'new'
  if (!isStart && others.length === 0) return first
  const [open, ...more] = candidates.filter(({ extent }) => !extent.hasEnded)
  if (open !== undefined && more.length === 0) return open
  return open !== undefined || !isStart ? 'unclear' : 'new'
}

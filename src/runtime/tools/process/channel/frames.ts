/** Length of the number that stands before each frame. */
const HEADER_BYTES = 4

/** A function of a prototype that stays what it is when somebody replaces it there. */
const taken = <This, Arguments extends unknown[], Result>(method: (this: This, ...args: Arguments) => Result) =>
  Function.prototype.call.bind(method) as (self: This, ...args: Arguments) => Result

// One side of the channel shares its process with tool code, which may replace what it can reach.
const { min } = Math
const { alloc, allocUnsafe, byteLength } = Buffer
const readLength = taken(Buffer.prototype.readUInt32LE as (this: Buffer, offset: number) => number)
const writeLength = taken(Buffer.prototype.writeUInt32LE as (this: Buffer, value: number, offset: number) => number)
const writeText = taken(Buffer.prototype.write as (this: Buffer, text: string, offset: number) => number)
const textOf = taken(Buffer.prototype.toString as (this: Buffer) => string)
const copyInto = taken(Buffer.prototype.copy as (this: Buffer, ...args: [Buffer, number, number, number]) => number)

/** A text with its length in bytes before it. */
export function encodeFrame(text: string): Buffer {
  const bytes = byteLength(text)
  const frame = allocUnsafe(HEADER_BYTES + bytes)
  writeLength(frame, bytes, 0)
  writeText(frame, text, HEADER_BYTES)
  return frame
}

/** A frame is announced as longer than any may be. */
export class FrameTooLong extends Error {}

/** Cuts what comes through a channel into the texts that `encodeFrame` was given. */
export class FrameReader {
  readonly #maxBytes: number
  readonly #header = alloc(HEADER_BYTES)
  #headerFilled = 0
  #body: Buffer | undefined
  #bodyBytes = 0
  #bodyFilled = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /**
   * Takes the first `length` bytes of a chunk. Each text that is whole is handed on at once.
   * @throws FrameTooLong
   */
  read(chunk: Buffer, length: number, onText: (text: string) => void): void {
    let at = 0
    while (at < length) {
      at += this.#headerFilled < HEADER_BYTES ? this.#readHeader(chunk, at, length) : this.#readBody(chunk, at, length)
      if (this.#body === undefined || this.#bodyFilled < this.#bodyBytes) continue
      const text = textOf(this.#body)
      this.#body = undefined
      this.#headerFilled = 0
      onText(text)
    }
  }

  #readHeader(chunk: Buffer, at: number, length: number): number {
    const taking = min(HEADER_BYTES - this.#headerFilled, length - at)
    copyInto(chunk, this.#header, this.#headerFilled, at, at + taking)
    this.#headerFilled += taking
    if (this.#headerFilled === HEADER_BYTES) this.#begin(readLength(this.#header, 0))
    return taking
  }

  #begin(bytes: number): void {
    if (bytes > this.#maxBytes) throw new FrameTooLong(`a frame of ${bytes} bytes, more than ${this.#maxBytes}`)
    this.#body = allocUnsafe(bytes)
    this.#bodyBytes = bytes
    this.#bodyFilled = 0
  }

  #readBody(chunk: Buffer, at: number, length: number): number {
    if (this.#body === undefined) throw new Error('a body follows its header')
    const taking = min(this.#bodyBytes - this.#bodyFilled, length - at)
    copyInto(chunk, this.#body, this.#bodyFilled, at, at + taking)
    this.#bodyFilled += taking
    return taking
  }
}

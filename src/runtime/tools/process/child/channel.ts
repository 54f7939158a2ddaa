import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { encodeFrame, FrameReader } from '../channel/frames.ts'
import { MAX_FRAME_TO_HOST, type ToHost } from '../channel/messages.ts'

/** File descriptors of the two directions. */
const FROM_RUNTIME = 3
const TO_RUNTIME = 4
const READ_BYTES = 65_536

// Taken before tool code runs, which may replace them.
const parse = JSON.parse
const stringify = JSON.stringify
const hasToJson = (): boolean => 'toJSON' in Object.prototype || 'toJSON' in Array.prototype
/** Ends this process at once: no code that waits for its end runs, as `process.exit` would let it. */
export const exit: (code: number) => never = Reflect.get(process, 'reallyExit').bind(process)

/**
 * Sends a message and returns when it is on its way, also when this process hangs or dies right after. Ends the process
 * when nobody listens any more.
 */
export function send(message: { readonly type: string } & Readonly<Record<string, unknown>>): void {
  const tampered = hasToJson()
  write(stringify(tampered ? TAMPERED : message))
  if (tampered) exit(1)
}

const TAMPERED = {
  __proto__: null,
  type: 'fatal',
  message: 'the code gave Object.prototype or Array.prototype a toJSON: no result can be told any more',
  stack: '',
}

function write(text: string): void {
  const frame = encodeFrame(text)
  const { length } = frame
  try {
    for (let at = 0; at < length; ) at += writeSync(TO_RUNTIME, frame, at, length - at)
  } catch {
    exit(1)
  }
}

/** Hands on every message of the runtime. Its end is the end of this process. */
export function listen(onMessage: (message: ToHost) => void): void {
  const reader = new FrameReader(MAX_FRAME_TO_HOST)
  const buffer = Buffer.alloc(READ_BYTES)
  const callback = (length: number) => {
    reader.read(buffer, length, (text) => onMessage(parse(text)))
    return true
  }
  const socket = new Socket({ fd: FROM_RUNTIME, readable: true, writable: false, onread: { buffer, callback } })
  socket.on('close', () => exit(0))
  socket.on('error', () => exit(1))
}

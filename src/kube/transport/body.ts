import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { unanswered } from './failure.ts'

/** A Status object, with room for a proxy's page. */
export const MAX_REFUSAL_BYTES = 64 * 1024

export type Encoding = string | readonly string[] | undefined

/** The bytes of a body, unpacked. A proxy may pack what was not asked to be. @throws ApiError `InvalidResponse` */
export function unpacked(body: Readable, encoding: Encoding): Readable {
  if (encoding === undefined || encoding === 'identity') return body
  if (encoding !== 'gzip') {
    body.on('error', ignore).destroy()
    throw unanswered('InvalidResponse', 'the answer has a content encoding that is not supported')
  }
  // Errors and ends of the one are those of the other; whoever reads gets them from the iteration.
  return pipeline(body, createGunzip(), ignore)
}

/**
 * All of a body as text. Always reads or ends it.
 * @throws ApiError `TooLarge`
 */
export async function readBody(body: Readable, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > maxBytes) throw unanswered('TooLarge', `the answer is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const ignore = () => undefined

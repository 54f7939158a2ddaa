import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Request, RequestHandler, Response } from 'express'
import { hashText, type RuntimeState } from '../../../api/index.ts'

const pack = promisify(gzip)

/** Answers shorter than this many characters are not worth packing. */
const MIN_PACKED = 4_096
/** What is repeated most is names and hashes; more effort than the least saves little. */
const PACKING = { level: 1 }

/**
 * Answers `GET state`. The ETag covers everything but `stats`, which alone would change it with every run, so it is
 * weak. All items and bundles are covered by `lastEventId` and all tools by `snapshot`: the text of thousands of items
 * is made once per change, and the ETag without it.
 */
export function stateHandler(read: () => RuntimeState): RequestHandler {
  let cached = { etag: '', text: '' }
  return async (req, res) => {
    const { stats, ...rest } = read()
    const { items: _, bundles: __, tools: ___, ...key } = rest
    const etag = `W/"${hashText(JSON.stringify(key))}"`
    res.set({ ETag: etag, 'Cache-Control': 'no-cache', Vary: 'Accept-Encoding' })
    if (matches(req, etag)) {
      res.status(304).end()
      return
    }
    if (cached.etag !== etag) cached = { etag, text: JSON.stringify(rest).slice(0, -1) }
    await sendJson(req, res, `${cached.text},"stats":${JSON.stringify(stats)}}`)
  }
}

const matches = (req: Request, etag: string): boolean => {
  const known = req.get('If-None-Match')?.split(',') ?? []
  return known.some((tag) => tag.trim() === etag || tag.trim() === '*')
}

/** Sends a JSON text, packed where it is long and the client takes that. */
export async function sendJson(req: Request, res: Response, text: string): Promise<void> {
  res.set('Content-Type', 'application/json; charset=utf-8')
  if (text.length < MIN_PACKED || req.acceptsEncodings('gzip') !== 'gzip') {
    res.end(text)
    return
  }
  res.set('Content-Encoding', 'gzip').end(await pack(text, PACKING))
}

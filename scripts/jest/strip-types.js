// Jest transform: Node's own type stripping, which keeps every line and column where it was.
import { createHash } from 'node:crypto'
import { stripTypeScriptTypes } from 'node:module'

export default {
  process: (source) => ({ code: stripTypeScriptTypes(source) }),
  getCacheKey: (source, path, options) =>
    createHash('sha1')
      .update(source)
      .update(path)
      .update(process.version)
      .update(String(options.instrument))
      .digest('hex'),
}

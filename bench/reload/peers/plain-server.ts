import { pathToFileURL } from 'node:url'
import { serve, type Tool } from './serve.ts'

/** Has its tool for as long as it runs: `node --watch`, tsx and nodemon start it anew. */
const [port, path = ''] = process.argv.slice(2)
const { default: tool }: { default: Tool } = await import(pathToFileURL(path).href)
serve(Number(port), async () => tool)

import { realpathSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { serve, type Tool } from './serve.ts'

/** What Node itself needs, and no more: one watch, one import a swap. Nothing is checked, told or ever given back. */
const [port, path = ''] = process.argv.slice(2)
// Each version of a mount has a folder of its own, and so another address.
const load = async (): Promise<Tool> => (await import(pathToFileURL(realpathSync(path)).href)).default
let tool = await load()
watch(dirname(path), async (_event, name) => {
  if (name === '..data') tool = await load()
})
serve(Number(port), async () => tool)

import { basename, dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { serve, type Tool } from './serve.ts'

/** The part of Vite that is used: it is not among the packages of this project. */
type Vite = {
  readonly createServer: (config: object) => Promise<{
    readonly ssrLoadModule: (path: string) => Promise<{ default: Tool }>
    readonly environments: { readonly ssr: object }
  }>
  readonly createServerModuleRunner: (environment: object) => {
    readonly import: (path: string) => Promise<{ default: Tool }>
  }
}

/** Loads its tool by Vite at each call: `ssr` by `ssrLoadModule`, `runner` by a module runner with HMR. */
const [port, path = '', vitePath = '', how, config = '{}'] = process.argv.slice(2)
const vite: Vite = await import(pathToFileURL(vitePath).href)
const server = await vite.createServer({
  configFile: false,
  root: dirname(path),
  appType: 'custom',
  logLevel: 'error',
  server: { middlewareMode: true, ...JSON.parse(config).server },
  resolve: JSON.parse(config).resolve,
  optimizeDeps: { noDiscovery: true },
})
const id = `/${basename(path)}`
const runner = vite.createServerModuleRunner(server.environments.ssr)
serve(Number(port), async () => (await (how === 'ssr' ? server.ssrLoadModule(id) : runner.import(id))).default)

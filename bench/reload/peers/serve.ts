import { createServer, type IncomingMessage } from 'node:http'

/** What the tool's file exports. */
export type Tool = { readonly execute: (args: Readonly<Record<string, unknown>>) => unknown }

/**
 * As little of an HTTP server as will do: `POST /tools/weather/call` calls the tool that `load` gives now, `GET /process`
 * tells processes apart.
 */
export function serve(port: number, load: () => Promise<Tool>): void {
  const server = createServer(async (req, res) => {
    if (req.url === '/process') return res.end(String(process.pid))
    try {
      const { arguments: args } = JSON.parse(await bodyOf(req)) as { arguments: Record<string, unknown> }
      const { execute } = await load()
      res.setHeader('content-type', 'application/json')
      res.end(JSON.stringify({ result: await execute(args) }))
    } catch (error) {
      res.statusCode = 500
      res.end(String(error))
    }
    return undefined
  })
  server.listen(port, '127.0.0.1')
}

async function bodyOf(req: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of req.setEncoding('utf8')) text += chunk
  return text
}

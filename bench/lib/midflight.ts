import { request } from 'undici'
import { MAIN } from './bench.ts'
import { type Child, freePort, type Processes, type StartOptions, until } from './processes.ts'

export type Midflight = {
  readonly url: string
  readonly metricsUrl: string
  readonly child: Child
}

export type MidflightOptions = StartOptions & {
  /** The program that runs it, where it is not the one that runs this. */
  readonly node?: string
  /** Options of node itself. */
  readonly nodeArgs?: readonly string[]
  /** The program's file, where it is not the sources'. */
  readonly main?: string
}

/** Starts `midflight` with a subcommand on free ports and waits until it is ready. */
export async function startMidflight(
  processes: Processes,
  args: readonly string[],
  { node = process.execPath, nodeArgs = [], main = MAIN, ...options }: MidflightOptions = {},
): Promise<Midflight> {
  const [port, metricsPort] = [await freePort(), await freePort()]
  const ports = ['--port', String(port), '--metrics-port', String(metricsPort)]
  const child = processes.start([node, ...nodeArgs, main, ...args, ...ports], options)
  const midflight = { url: `http://127.0.0.1:${port}`, metricsUrl: `http://127.0.0.1:${metricsPort}`, child }
  await child.whileAlive(until('ready', () => isReady(midflight)))
  return midflight
}

async function isReady({ metricsUrl }: Midflight): Promise<true | undefined> {
  const { statusCode, body } = await request(`${metricsUrl}/readyz`)
  await body.dump()
  return statusCode === 200 ? true : undefined
}

/** The process's metrics: by name, those with labels by `name{labels}`. */
export async function metricsOf({ metricsUrl }: Pick<Midflight, 'metricsUrl'>): Promise<ReadonlyMap<string, number>> {
  const { body } = await request(`${metricsUrl}/metrics`)
  const lines = (await body.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))] as const
    }),
  )
}

import { randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RuntimeState } from '../../../../src/api/index.ts'
import { type Cli, startCli } from '../../../../src/cli/cli.fixture.ts'
import { TOKEN } from './in-process.ts'

/** `midflight runtime` as a process of its own, on an address of its own, which stays through every restart. */
export type RuntimeProcess = {
  readonly host: string
  readonly managementPort: number
  readonly url: string
  /** Of the process that was started last. */
  readonly pid: number | undefined
  readonly isRunning: boolean
  /** What it says of itself. */
  state(): Promise<RuntimeState>
  /** Everything it wrote, of all processes. */
  written(): string
  /** SIGKILL. */
  kill(): Promise<void>
  /** Another process, which knows nothing. Resolves when it listens. */
  start(): Promise<void>
}

/**
 * @param directory for the file with the token
 * @param flagsOf more flags of each, by its number
 */
export async function startRuntimeProcesses(
  count: number,
  directory: string,
  flagsOf: (index: number) => readonly string[] = () => [],
): Promise<RuntimeProcess[]> {
  const tokenFile = join(directory, 'token')
  await writeFile(tokenFile, TOKEN)
  const block = `127.${randomInt(1, 255)}.${randomInt(0, 255)}`
  const port = randomInt(12_000, 19_000)
  const started = Array.from({ length: count }, (_, index) =>
    processAt({ host: `${block}.${index + 2}`, port, tokenFile, more: flagsOf(index) }),
  )
  await Promise.all(started.map((each) => each.start()))
  return started
}

type Place = {
  readonly host: string
  readonly port: number
  readonly tokenFile: string
  readonly more: readonly string[]
}

function processAt({ host, port, tokenFile, more }: Place): RuntimeProcess {
  const url = `http://${host}:${port + 1}`
  const management = ['--management-host', host, '--management-port', `${port}`, '--management-token-file', tokenFile]
  const flags = ['--host', host, '--port', `${port + 1}`, '--metrics-port', `${port + 2}`]
  const all: Cli[] = []
  return {
    host,
    managementPort: port,
    url,
    get pid() {
      return all.at(-1)?.child.pid
    },
    get isRunning() {
      const { exitCode, signalCode } = all.at(-1)?.child ?? {}
      return exitCode === null && signalCode === null
    },
    state: async () => {
      const headers = { authorization: `Bearer ${TOKEN}` }
      const response = await fetch(`http://${host}:${port}/management/v1/state`, { headers })
      return (await response.json()) as RuntimeState
    },
    written: () => all.map((cli) => cli.stdout() + cli.stderr()).join(''),
    kill: async () => {
      const cli = all.at(-1)
      cli?.child.kill('SIGKILL')
      await cli?.exit
    },
    start: async () => {
      const cli = startCli(['runtime', ...flags, ...management, ...more])
      all.push(cli)
      await cli.sees(/^management /m)
    },
  }
}

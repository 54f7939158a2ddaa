import { Command, CommanderError } from 'commander'
import { ProblemError } from '../api/index.ts'
import { chatConfig, devConfig, FailureError, parseConfig, runtimeConfig, UsageError } from './config.ts'
import { version } from './files.ts'
import type { Io } from './io.ts'

const USAGE = 2

/**
 * Runs one command.
 * @returns the exit code: 0, 1 when the command failed, 2 when it was not understood
 */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  let code = 0
  const program = createProgram(io, (result) => {
    code = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    return exitCodeOf(error, io)
  }
}

function exitCodeOf(error: unknown, io: Io): number {
  // Commander has already written its own message; help and version are no failures.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
  if (error instanceof UsageError) {
    io.stderr.write(`error: ${error.message}\n`)
    return USAGE
  }
  if (error instanceof ProblemError || error instanceof FailureError) {
    io.stderr.write(`error: ${error.message}\n`)
    return 1
  }
  if (io.signal.aborted) return 0
  io.stderr.write(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return 1
}

type Finish = (code: number) => void

function createProgram(io: Io, finish: Finish): Command {
  const program = new Command('midflight')
    .description('Change the agent, not the pod: agents, prompts and tools that reload while they run.')
    .version(version(), '-V, --version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .showHelpAfterError('Run with --help to see what there is.')
    .addHelpText(
      'after',
      '\nExample:\n  midflight dev deploy/samples/quickstart\n\nEvery flag can be a variable: --metrics-port is MIDFLIGHT_METRICS_PORT.',
    )
  addServers(program, io, finish)
  addTools(program, io, finish)
  return program
}

const PORT = 'port of the API, 0 for any (default 7777)'
const HOST = 'address to listen on (default 127.0.0.1)'
const METRICS_PORT = 'port of metrics and health, 0 for any (default 9464)'

function addServers(program: Command, io: Io, finish: Finish): void {
  program
    .command('dev')
    .argument('<dir...>', 'directories with manifests, tools/ and prompts/')
    .description('Run the agents of a directory and reload them on every save')
    .option('--port <port>', PORT)
    .option('--host <host>', HOST)
    .option('--metrics-port <port>', METRICS_PORT)
    .option('--once', 'load, say what was loaded and end: 0 when all is well, else 1')
    .addHelpText('after', '\nExample:\n  midflight dev deploy/samples/quickstart --port 8080')
    .action(async (directories: string[], flags: object) => {
      const config = parseConfig(devConfig, flags, io.environment)
      const { dev } = await import('./dev.ts')
      finish(await dev(directories, config, io))
    })
  program
    .command('runtime')
    .description('Run one runtime by hand')
    .option('--bundle <name=dir>', 'a directory or mounted ConfigMap with tools and prompts; may be repeated', collect)
    .option('--definitions <path>', 'a file or directory with manifests')
    .option('--port <port>', PORT)
    .option('--host <host>', HOST)
    .option('--metrics-port <port>', METRICS_PORT)
    .option('--auth-key-file <file>', 'file with the key that callers must present')
    .option('--insecure-no-auth', 'accept every caller on an address that others can reach')
    .option('--isolation <mode>', 'where tool code runs: none (in this process)')
    .addHelpText(
      'after',
      '\nExample:\n  midflight runtime --definitions agents.yaml --bundle support=./files --auth-key-file key',
    )
    .action(async (flags: object) => {
      const config = parseConfig(runtimeConfig, flags, io.environment)
      const { runtime } = await import('./runtime.ts')
      finish(await runtime(config, io))
    })
}

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]

function addTools(program: Command, io: Io, finish: Finish): void {
  program
    .command('chat')
    .argument('<id>', 'an agent, team or workflow: support, or teams/front-desk where a name is ambiguous')
    .description('Talk to an agent, team or workflow that runs')
    .option('--url <url>', 'where it runs (default http://127.0.0.1:7777)')
    .option('--auth-key-file <file>', 'file with the key of the API')
    .option('--message <text>', 'say this, print the answer and end')
    .option('--session <id>', 'go on with this conversation')
    .addHelpText('after', '\nExample:\n  midflight chat support --message "What is the weather?"')
    .action(async (id: string, flags: object) => {
      const config = parseConfig(chatConfig, flags, io.environment)
      const { chat } = await import('./chat/chat.ts')
      finish(await chat(id, config, io))
    })
  program
    .command('validate')
    .argument('<path...>', 'files or directories with manifests, tools/ and prompts/')
    .description('Load manifests and files without serving them, and print every problem')
    .addHelpText('after', '\nExample:\n  midflight validate deploy/samples/quickstart')
    .action(async (paths: string[]) => {
      const { validate } = await import('./validate.ts')
      finish(await validate(paths, io))
    })
  program
    .command('crds')
    .description('Print the CustomResourceDefinitions as YAML')
    .addHelpText('after', '\nExample:\n  midflight crds | kubectl apply --server-side -f -')
    .action(async () => {
      const { crds } = await import('./crds.ts')
      finish(crds(io))
    })
}

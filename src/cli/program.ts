import { Command, CommanderError } from 'commander'
import { ProblemError } from '../api/index.ts'
// Not by way of the index: most commands ask no API server.
import { isApiError } from '../kube/types.ts'
import { addChat } from './commands/chat.ts'
import { addDoctor, addGet, addStatus } from './commands/cluster.ts'
import type { Finish } from './commands/group.ts'
import { addHook } from './commands/hook.ts'
import { addOperator } from './commands/operator.ts'
import { addServers } from './commands/servers.ts'
import { addTools } from './commands/tools.ts'
import { FailureError, UsageError } from './config.ts'
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
  if (error instanceof ProblemError || error instanceof FailureError || isApiError(error)) {
    io.stderr.write(`error: ${error.message}\n`)
    return 1
  }
  if (io.signal.aborted) return 0
  io.stderr.write(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return 1
}

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
  addOperator(program, io, finish)
  addStatus(program, io, finish)
  addGet(program, io, finish)
  addDoctor(program, io, finish)
  addChat(program, io, finish)
  addTools(program, io, finish)
  addHook(program, io, finish)
  return program
}

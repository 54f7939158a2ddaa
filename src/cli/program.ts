import { Command, CommanderError } from 'commander'
import { ProblemError } from '../api/index.ts'
import {
  chatConfig,
  conformanceConfig,
  devConfig,
  FailureError,
  operatorConfig,
  parseConfig,
  runtimeConfig,
  UsageError,
} from './config.ts'
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
  addOperator(program, io, finish)
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
    .description('Run one runtime: by hand, or with --management-token-file as an operator says')
    .option('--bundle <name=dir>', 'a directory or mounted ConfigMap with tools and prompts; may be repeated', collect)
    .option('--definitions <path>', 'a file or directory with manifests')
    .option('--port <port>', PORT)
    .option('--host <host>', HOST)
    .option('--metrics-port <port>', METRICS_PORT)
    .option('--auth-key-file <file>', 'file with the key that callers must present')
    .option('--insecure-no-auth', 'accept every caller on an address that others can reach')
    .option(
      '--management-token-file <file>',
      'serve the management protocol; callers must present the token in this file',
    )
    .option('--management-host <host>', 'address of the management protocol (default 127.0.0.1)')
    .option('--management-port <port>', 'port of the management protocol, 0 for any (default 7778)')
    .option('--management-cert <file>', 'serve it over TLS with this certificate (PEM), read again when it changes')
    .option('--management-key <file>', 'key of that certificate (PEM)')
    .option('--pod-uid <uid>', 'UID of the pod that this process runs in, told to the operator')
    .option('--isolation <mode>', 'where tool code runs: none (in this process)')
    .addHelpText(
      'after',
      '\nExample:\n  midflight runtime --definitions agents.yaml --bundle support=./files --auth-key-file key\n  midflight runtime --management-token-file token   (an operator brings the items)\n  midflight runtime --host 0.0.0.0 --auth-key-file key --management-host 0.0.0.0 --management-token-file token   (in a pod)',
    )
    .action(async (flags: object) => {
      const config = parseConfig(runtimeConfig, flags, io.environment)
      const { runtime } = await import('./runtime.ts')
      finish(await runtime(config, io))
    })
}

const OPERATOR_HELP = `
Watches Agents, Teams, Workflows and AgentRuntimes, and keeps the registries of the runtimes that they name as declared.
In a cluster no flag is needed: the pod's ServiceAccount says where the API server is. Outside, --kubeconfig, else
KUBECONFIG, else ~/.kube/config. The CustomResourceDefinitions have to be there: midflight crds | kubectl apply
--server-side -f -

Of several operators of the same namespaces one is at work, the others wait with warm caches.

Examples:
  midflight operator --kubeconfig ~/.kube/config --namespaces team-a,team-b
  midflight operator --leader-election false --metrics-port 0   (while developing)`

function addOperator(program: Command, io: Io, finish: Finish): void {
  program
    .command('operator')
    .description('Run the Kubernetes operator')
    .option('--kubeconfig <file>', 'how to reach the API server (in a cluster: not needed)')
    .option('--context <name>', 'context of the kubeconfig (default its current one)')
    .option('--namespaces <names>', 'only these, separated by commas (default all)')
    .option('--metrics-port <port>', 'port of metrics and health, 0 for any (default 8080)')
    .option('--metrics-host <host>', 'address of metrics and health (default 0.0.0.0)')
    .option('--workers <count>', 'objects that are worked on at once (default 20)')
    .option('--leader-election <true|false>', 'wait until no other operator is at work (default true)')
    .option('--lease-namespace <name>', "namespace of the Lease (default the pod's, else the context's, else default)")
    .option('--log-level <level>', 'debug, info, warn or error (default info)')
    .addHelpText('after', OPERATOR_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(operatorConfig, flags, io.environment)
      const { operator } = await import('./operator.ts')
      finish(await operator(config, io))
    })
}

const CONFORMANCE_HELP = `
Drives the runtime as an operator would, over HTTP: wrong tokens, other fences and claims, items and bundles that come,
change, wait, are refused and go, pins, events. Each check prints "ok", or "FAIL" with what was expected. Everything that
it brings is called conformance… and goes again; the fence stays two higher. Nothing is run on a model.

Ends with 0 when every check passed, with 1 when one failed, with 2 when it was not understood.

Example:
  midflight conformance --url http://127.0.0.1:7778 --token-file token
  (a runtime to try it on: midflight runtime --management-token-file token)`

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
    .command('conformance')
    .description('Check that a runtime, in any language, speaks the management protocol')
    .option('--url <url>', 'where it serves the protocol (default http://127.0.0.1:7778)')
    .option('--token-file <file>', 'file with the token that the runtime asks for')
    .option('--ca-file <file>', 'certificate authorities in PEM, for https')
    .option('--server-name <name>', 'name in its certificate, where it is not the one in the URL')
    .option('--force', 'also on a runtime that is claimed or holds items; its settings, pins and claim are lost')
    .option('--json', 'print one JSON document instead of a line per check')
    .addHelpText('after', CONFORMANCE_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(conformanceConfig, flags, io.environment)
      const { conformance } = await import('./conformance.ts')
      finish(await conformance(config, io))
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

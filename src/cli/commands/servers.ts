import { devConfig, parseConfig, runtimeConfig } from '../config.ts'
import { type CommandGroup, collect } from './group.ts'

const PORT = 'port of the API, 0 for any (default 7777)'
const HOST = 'address to listen on (default 127.0.0.1)'
const HOT_RELOAD = 'false: read the directories of bundles once, and not again when they change (default true)'
const RELOAD_LOG = 'log each reload of a file line by line'
const METRICS_PORT = 'port of metrics and health, 0 for any (default 9464)'

export const addServers: CommandGroup = (program, io, finish) => {
  addDev(program, io, finish)
  addRuntime(program, io, finish)
}

const addDev: CommandGroup = (program, io, finish) => {
  program
    .command('dev')
    .argument('<dir...>', 'directories with manifests, tools/ and prompts/')
    .description('Run the agents of a directory and reload them on every save')
    .option('--port <port>', PORT)
    .option('--host <host>', HOST)
    .option('--metrics-port <port>', METRICS_PORT)
    .option('--hot-reload <boolean>', HOT_RELOAD)
    .option('--reload-log <boolean>', `${RELOAD_LOG} (default false)`)
    .option('--once', 'load, say what was loaded and end: 0 when all is well, else 1')
    .addHelpText('after', '\nExample:\n  midflight dev deploy/samples/quickstart --port 8080')
    .action(async (directories: string[], flags: object) => {
      const config = parseConfig(devConfig, flags, io.environment)
      const { dev } = await import('../serve/dev.ts')
      finish(await dev(directories, config, io))
    })
}

const addRuntime: CommandGroup = (program, io, finish) => {
  program
    .command('runtime')
    .description('Run one runtime: by hand, or with --management-token-file as an operator says')
    .option('--bundle <name=dir>', 'a directory or mounted ConfigMap with tools and prompts; may be repeated', collect)
    .option('--definitions <path>', 'a file or directory with manifests')
    .option('--port <port>', PORT)
    .option('--host <host>', HOST)
    .option('--metrics-port <port>', METRICS_PORT)
    .option(
      '--auth-key-file <file>',
      'file with the keys of which callers must present one, a line each, read again when it changes',
    )
    .option('--insecure-no-auth', 'accept every caller on an address that others can reach')
    .option(
      '--allow-host <name>',
      'without a key: a name under which callers reach it, besides localhost and addresses; may be repeated',
      collect,
    )
    .option(
      '--management-token-file <file>',
      'serve the management protocol; callers must present the token in this file; may be repeated, any of them is accepted',
      collect,
    )
    .option('--management-host <host>', 'address of the management protocol (default 127.0.0.1)')
    .option('--management-port <port>', 'port of the management protocol, 0 for any (default 7778)')
    .option('--management-cert <file>', 'serve it over TLS with this certificate (PEM), read again when it changes')
    .option('--management-key <file>', 'key of that certificate (PEM)')
    .option('--pod-uid <uid>', 'UID of the pod that this process runs in, told to the operator')
    .option('--boot-set <dir>', 'begin with what an operator left in this directory, until one brings what is declared')
    .option('--drain-seconds <seconds>', 'how long runs may go on when the runtime is stopped (default 10)')
    .option(
      '--final-scrape-seconds <seconds>',
      'how long, when that interrupted runs, the metrics that tell it may wait to be scraped (default 0)',
    )
    .option('--hot-reload <boolean>', HOT_RELOAD)
    .option('--reload-log <boolean>', `${RELOAD_LOG} (default true)`)
    .option('--termination-log <file>', 'file that then tells it too: in a pod, /dev/termination-log')
    .option(
      '--isolation <mode>',
      'where tool code runs unless the settings say: process (each bundle in one of its own; default with --boot-set) or none (in this process; default)',
    )
    .addHelpText(
      'after',
      '\nExample:\n  midflight runtime --definitions agents.yaml --bundle support=./files --auth-key-file key\n  midflight runtime --management-token-file token   (an operator brings the items)\n  midflight runtime --host :: --auth-key-file key --management-host :: --management-token-file token   (in a pod)',
    )
    .action(async (flags: object) => {
      const config = parseConfig(runtimeConfig, flags, io.environment)
      const { runtime } = await import('../serve/runtime.ts')
      finish(await runtime(config, io))
    })
}

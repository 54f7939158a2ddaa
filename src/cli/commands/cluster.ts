import type { Command } from 'commander'
import { doctorConfig, getConfig, statusConfig } from '../cluster/config.ts'
import { parseConfig } from '../config.ts'
import type { CommandGroup } from './group.ts'

/** The flags of every command that asks a cluster. */
export const withCluster = (command: Command): Command =>
  command
    .option('-n, --namespace <name>', "namespace (default the context's)")
    .option('--context <name>', 'context of the kubeconfig (default its current one)')
    .option('--kubeconfig <file>', 'how to reach the API server (default KUBECONFIG, else ~/.kube/config)')

const ALL_NAMESPACES = ['-A, --all-namespaces', 'in all namespaces'] as const

const STATUS_HELP = `
What is served where: each AgentRuntime with its pods and bundles of files, then Agents, Teams and Workflows. REVISION is
the hash of what is declared, LAST GOOD the last one that all pods served. STATE:
  Ready      every pod serves it as it is declared now
  Pending    what is declared now has not been looked at yet, or a ConfigMap holds newer files
  Waiting    something is under way, or it needs another object
  Stalled    it was refused, the last good version serves: only a change can help
Of a bundle: Live, Updating, Unseen (the ConfigMap is newer than what the operator told), Waiting, Rejected, Missing.

Ends with 0 when everything that was asked for is Ready as it is declared now, else with 1. With --watch it prints a line
for each change, also of a ConfigMap, and how long after it was served, until Ctrl-C.

Examples:
  midflight status
  midflight status -n team-a agent/support agentruntime/default
  midflight status -A --watch
  kubectl apply -f agents.yaml && midflight status --wait --timeout 30s   (in a pipeline)
  midflight status -o json | jq '.items[] | select(.standing.state != "Ready")'`

export const addStatus: CommandGroup = (program, io, finish) => {
  withCluster(
    program
      .command('status')
      .argument('[kind/name...]', 'only these, such as agent/support or agents')
      .description('Show what a cluster serves, pod by pod, and follow changes until they are live'),
  )
    .option(...ALL_NAMESPACES)
    .option('-w, --watch', 'print a line for each change, until Ctrl-C')
    .option('--wait', 'wait until everything is Ready as it is declared now')
    .option('--timeout <duration>', 'longest wait of --wait (default 60s)')
    .option('-o, --output <format>', 'table or json (default table)')
    .addHelpText('after', STATUS_HELP)
    .action(async (wanted: string[], flags: object) => {
      const config = parseConfig(statusConfig, flags, io.environment)
      const { status } = await import('../cluster/status/status.ts')
      finish(await status(wanted, config, io))
    })
}

const DOCTOR_HELP = `
Looks, from the ground up, at the CustomResourceDefinitions, the operator's Deployment, Lease and rights, your own rights,
the AgentRuntimes and what they serve, ConfigMaps and Secrets that they name, certificates, images and mounts of their
pods, and the warnings of the last hour. Each line is ok, warn, FAIL or skip (you lack the right to look), and below it
what mends it. Nothing is changed, and no value of a Secret is shown.

Ends with 1 when a line says FAIL, else with 0.

Examples:
  midflight doctor
  midflight doctor -n team-a
  midflight doctor -A --operator-namespace midflight-system
  midflight doctor -o json | jq '.findings[] | select(.level == "FAIL")'`

export const addDoctor: CommandGroup = (program, io, finish) => {
  withCluster(
    program.command('doctor').description('Look for what is wrong with an installation, and say what mends it'),
  )
    .option(...ALL_NAMESPACES)
    .option('--operator-namespace <name>', 'where the operator is (default: looked for)')
    .option('-o, --output <format>', 'table or json (default table)')
    .addHelpText('after', DOCTOR_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(doctorConfig, flags, io.environment)
      const { doctor } = await import('../cluster/doctor/doctor.ts')
      finish(await doctor(config, io))
    })
}

const GET_HELP = `
KIND is one of agents, teams, workflows, agentruntimes (runtimes), as kubectl has them; without one, all four. Besides:
  pods        pods of the AgentRuntimes, whether they have been given everything, and in what they are behind
  bundles     bundles of files: ConfigMap, hash, state, how many tools and prompts
  models      models of the AgentRuntimes, where their keys are, who uses them
  tools       tools by the files of the bundles, and the agents that name them
  extensions  extensions by the files of the bundles, in the order in which they run

Examples:
  midflight get
  midflight get agents -A -o wide
  midflight get agent support -o yaml
  midflight get pods -n team-a
  midflight get tools -o json`

export const addGet: CommandGroup = (program, io, finish) => {
  withCluster(
    program
      .command('get')
      .argument('[kind]', 'what to list')
      .argument('[name]', 'only this one')
      .description('List what a cluster declares and what serves it'),
  )
    .option(...ALL_NAMESPACES)
    .option('-o, --output <format>', 'table, wide, json, yaml or name (default table)')
    .addHelpText('after', GET_HELP)
    .action(async (kind: string | undefined, name: string | undefined, flags: object) => {
      const config = parseConfig(getConfig, flags, io.environment)
      const { get } = await import('../cluster/get/get.ts')
      finish(
        await get(
          [kind, name].filter((each) => each !== undefined),
          config,
          io,
        ),
      )
    })
}

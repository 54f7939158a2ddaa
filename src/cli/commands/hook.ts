import type { Command } from 'commander'
import { parseConfig } from '../config.ts'
import { applyDefaultsConfig, releaseFinalizersConfig, testConfig } from '../hook/config.ts'
import type { Hook } from '../hook/hook.ts'
import type { Io } from '../io.ts'
import type { CommandGroup, Finish } from './group.ts'

const GROUP_HELP = `
The chart's jobs run these, as pods of the operator's image. By hand they do the same: --kubeconfig, else KUBECONFIG, else
~/.kube/config says where. They tell each step on a line, and end with 0, with 1 when they failed, with 2 when they were
not understood.`

const APPLY_HELP = `
Server-side apply with the field manager midflight-defaults: a field of the file gets the file's value, all others stay as
people set them.

Example:
  midflight hook apply-defaults --spec spec.yaml --namespaces team-a,team-b`

const RELEASE_HELP = `
Before the operator goes for good: scales it to 0, waits for its pods to end, and removes the finalizer
midflight.dev/registry everywhere. Without --deployment nothing is scaled, and no operator may be running. Nothing is
deleted, and runtimes go on serving.

Example:
  midflight hook release-finalizers --deployment midflight-operator --deployment-namespace midflight-system`

const TEST_HELP = `
Makes an AgentRuntime with a scripted model and an agent, talks to the agent over the runtime's Service, edits it, sees the
edit served within 10 s, and removes both. With --runtime it uses an AgentRuntime that is there.

Example:
  midflight hook test --namespace default`

export const addHook: CommandGroup = (program, io, finish) => {
  const group = program
    .command('hook')
    .description('What the Helm chart does around install, uninstall and test')
    .addHelpText('after', GROUP_HELP)
  addApplyDefaults(group, io, finish)
  addReleaseFinalizers(group, io, finish)
  addTest(group, io, finish)
}

const named = (group: Command, name: string, timeout: string): Command =>
  group
    .command(name)
    .option('--kubeconfig <file>', 'how to reach the API server (in a cluster: not needed)')
    .option('--context <name>', 'context of the kubeconfig (default its current one)')
    .option('--timeout <duration>', `for each thing that is waited for (default ${timeout})`)

const runHook = async (wanted: Hook, io: Io, finish: Finish): Promise<void> => {
  const { hook } = await import('../hook/hook.ts')
  finish(await hook(wanted, io))
}

const addApplyDefaults: CommandGroup = (group, io, finish) => {
  named(group, 'apply-defaults', '60s')
    .description('Wait until the kinds are served, then apply the AgentRuntime "default"')
    .requiredOption('--spec <file>', 'its spec, in YAML or JSON')
    .option('--namespaces <names>', 'where, separated by commas (default default)')
    .addHelpText('after', APPLY_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(applyDefaultsConfig, flags, io.environment)
      await runHook({ type: 'applyDefaults', config }, io, finish)
    })
}

const addReleaseFinalizers: CommandGroup = (group, io, finish) => {
  named(group, 'release-finalizers', '60s')
    .description('Stop the operator, and let nothing wait for it')
    .option('--deployment <name>', 'Deployment of the operator')
    .option('--deployment-namespace <name>', 'its namespace')
    .option('--namespaces <names>', 'only these, separated by commas (default all)')
    .addHelpText('after', RELEASE_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(releaseFinalizersConfig, flags, io.environment)
      await runHook({ type: 'releaseFinalizers', config }, io, finish)
    })
}

const addTest: CommandGroup = (group, io, finish) => {
  named(group, 'test', '120s')
    .description('Apply an agent, talk to it, edit it, see the edit')
    .option('--name <name>', 'of the agent, and of the AgentRuntime (default midflight-test)')
    .option('--namespace <name>', "where (default the pod's, else the context's, else default)")
    .option('--pod <json>', 'spec.pod of the AgentRuntime, such as {"imagePullSecrets":[{"name":"registry"}]}')
    .option('--runtime <name>', 'an AgentRuntime that is there, with a scripted model that repeats instructions')
    .option('--url <url>', 'where it answers (default its Service)')
    .addHelpText('after', TEST_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(testConfig, flags, io.environment)
      await runHook({ type: 'test', config }, io, finish)
    })
}

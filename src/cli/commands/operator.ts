import { operatorConfig, parseConfig } from '../config.ts'
import type { CommandGroup } from './group.ts'

const OPERATOR_HELP = `
Watches Agents, Teams, Workflows and AgentRuntimes, and keeps the registries of the runtimes that they name as declared.
In a cluster no flag is needed: the pod's ServiceAccount says where the API server is. Outside, --kubeconfig, else
KUBECONFIG, else ~/.kube/config. The CustomResourceDefinitions have to be there: midflight crds | kubectl apply
--server-side -f -

Of several operators of the same namespaces, or of one --lease-name, one is at work, the others wait with warm caches.

Examples:
  midflight operator --kubeconfig ~/.kube/config --namespaces team-a,team-b
  midflight operator --leader-election false --metrics-port 0   (while developing)`

export const addOperator: CommandGroup = (program, io, finish) => {
  program
    .command('operator')
    .description('Run the Kubernetes operator')
    .option('--kubeconfig <file>', 'how to reach the API server (in a cluster: not needed)')
    .option('--context <name>', 'context of the kubeconfig (default its current one)')
    .option('--namespaces <names>', 'only these, separated by commas (default all)')
    .option('--metrics-port <port>', 'port of metrics and health, 0 for any (default 8080)')
    .option('--metrics-host <host>', 'address of metrics and health (default ::, all)')
    .option('--workers <count>', 'objects that are worked on at once (default 20)')
    .option('--leader-election <true|false>', 'wait until no other operator is at work (default true)')
    .option('--lease-namespace <name>', "namespace of the Lease (default the pod's, else the context's, else default)")
    .option('--lease-name <name>', 'operators with the same name wait for each other (default by their namespaces)')
    .option('--runtime-image <image>', 'image of the pods of AgentRuntimes that name none')
    .option('--runtime-image-pull-policy <policy>', 'when it is pulled: Always, IfNotPresent or Never')
    .option('--log-level <level>', 'debug, info, warn or error (default info)')
    .addHelpText('after', OPERATOR_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(operatorConfig, flags, io.environment)
      const { operator } = await import('../operator.ts')
      finish(await operator(config, io))
    })
}

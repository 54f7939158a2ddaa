import { chatConfig } from '../chat/config.ts'
import { parseConfig } from '../config.ts'
import { withCluster } from './cluster.ts'
import type { CommandGroup } from './group.ts'

const CHAT_HELP = `
Where it runs: at --url; or, when --namespace, --context, --kubeconfig or --runtime is given, in that cluster, through a
port-forward to a Ready pod of its AgentRuntime (rights: read pods, create and get pods/portforward); without any of
these, on this machine (midflight dev). In a cluster the key is read from the Secret NAME-runtime-key, if you may; else
give it with --auth-key-file. When the pod goes away, the next message goes to another one.

Example:
  midflight chat support --message "What is the weather?"
  midflight chat support -n team-a
  midflight chat teams/front-desk -n team-a --auth-key-file key
  midflight chat support --url https://agents.example.com --auth-key-file key`

export const addChat: CommandGroup = (program, io, finish) => {
  const command = program
    .command('chat')
    .argument('<id>', 'an agent, team or workflow: support, or teams/front-desk where a name is ambiguous')
    .description('Talk to an agent, team or workflow that runs here or in a cluster')
    .option('--url <url>', 'where it runs (default http://127.0.0.1:7777)')
    .option('--auth-key-file <file>', 'file with the key of the API')
    .option('--message <text>', 'say this, print the answer and end')
    .option('--session <id>', 'go on with this conversation')
  withCluster(command)
    .option('--runtime <name>', 'AgentRuntime that serves it (default the one that it names)')
    .addHelpText('after', CHAT_HELP)
    .action(async (id: string, flags: object) => {
      const config = parseConfig(chatConfig, flags, io.environment)
      const { chat } = await import('../chat/chat.ts')
      finish(await chat(id, config, io))
    })
}

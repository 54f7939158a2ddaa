import { type Behaviour, startOpenAIServer } from '../../test/support/openai-server.ts'
import { ANSWER, TOOL } from './task.ts'

// A process of its own: the model that every contender talks to. Prints its URL.

const CALL: Behaviour = { type: 'tools', calls: [{ name: TOOL.name, arguments: TOOL.arguments }] }
const REPLY: Behaviour = { type: 'text', text: ANSWER }

const server = await startOpenAIServer(({ body }) => (body.messages?.at(-1)?.role === 'tool' ? REPLY : CALL), {
  record: false,
})
process.stdout.write(`${server.url}\n`)

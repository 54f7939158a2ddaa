import { startOpenAIServer } from '../../test/support/openai-server.ts'

// A process of its own: a model that says which model it was asked for. Prints its URL.

const server = await startOpenAIServer(({ body }) => ({ type: 'text', text: `This is ${body.model}` }), {
  record: false,
})
process.stdout.write(`${server.url}\n`)

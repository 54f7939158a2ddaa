import type { Snapshot } from '../runtime/registry/index.ts'

type Example = { readonly agent: string; readonly message: string }

const DEFAULT_URL = 'http://127.0.0.1:7777'

/** Two commands to try, as text: they ask an agent for something that makes it call a tool, where one does. */
export function exampleOf(snapshot: Snapshot, url: string): string {
  const example = callingExample(snapshot) ?? anyExample(snapshot)
  if (example === undefined)
    return '\nNo agent is served yet: declare one, and it is served as soon as the file is saved.\n'
  const { agent, message } = example
  const where = url === DEFAULT_URL ? '' : ` --url ${url}`
  return [
    '',
    'Try:',
    `  curl -N ${url}/agents/${agent}/runs -F message="${message}"`,
    `  npm run chat -- ${agent} --message "${message}"${where}`,
    '',
  ].join('\n')
}

/** An agent whose scripted model calls one of its own tools, and a message that makes it do so. */
function callingExample({ agents, models }: Snapshot): Example | undefined {
  for (const [agent, { definition }] of agents) {
    const { tools, model } = definition.spec
    for (const { match, call } of models.get(model)?.spec.script ?? []) {
      const message = call !== undefined && tools.includes(call.tool) ? messageFor(match) : undefined
      if (message !== undefined) return { agent, message }
    }
  }
  return undefined
}

function anyExample({ agents }: Snapshot): Example | undefined {
  const agent = agents.keys().next().value
  return agent === undefined ? undefined : { agent, message: 'Hello' }
}

/** A message with the longest word of a pattern, if that is enough to match it. */
function messageFor(pattern: string): string | undefined {
  const word = (pattern.match(/[A-Za-z]{3,}/g) ?? []).sort((a, b) => b.length - a.length)[0]
  if (word === undefined) return undefined
  const message = `What about the ${word}?`
  return new RegExp(pattern).test(message) ? message : undefined
}

import { rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Client } from 'undici'

/** A file that is edited and the call whose answer shows which version serves. */
export type Subject = {
  readonly name: 'prompt' | 'tool'
  readonly path: string
  /** The file's text; whoever is served it sees the token. */
  readonly good: (token: string) => string
  /** A text that must never serve, with a token in it. */
  readonly bad: (token: string, variant: number) => string
  readonly call: { readonly path: string; readonly body: string }
}

export const SAVES = {
  /** As `echo > file` does: emptied, then written. */
  inPlace: (path: string, text: string) => writeFile(path, text),
  /** As most editors do: a new file takes the old one's name. */
  rename: async (path: string, text: string) => {
    const beside = join(dirname(path), '.saving.tmp')
    await writeFile(beside, text)
    await rename(beside, path)
  },
} as const
export type Save = keyof typeof SAVES

/** The prompt and the tool of the quickstart in `directory`. */
export function subjectsIn(directory: string): readonly Subject[] {
  return [
    {
      name: 'prompt',
      path: join(directory, 'prompts/support.md'),
      good: weatherPrompt,
      bad: (token) => `You answer badly, version ${token}.\n\n{{include "missing-${token}.md"}}\n`,
      call: { path: '/agents/support/runs', body: JSON.stringify({ message: 'hello', stream: false }) },
    },
    {
      name: 'tool',
      path: join(directory, 'tools/weather.ts'),
      good: weatherTool,
      bad: (token, variant) =>
        variant % 2 === 0
          ? `${weatherTool(token)}\nexport const broken = {\n`
          : `${weatherTool(token)}\nthrow new Error('at load: ${token}')\n`,
      call: { path: '/tools/weather/call', body: JSON.stringify({ arguments: { city: 'Paris' } }) },
    },
  ]
}

const GUIDANCE = Array.from(
  { length: 40 },
  (_, n) => `${n + 1}. Say what is known, say what is not, and name the place that the question is about.\n`,
).join('')

/** Two pages of text. */
export const weatherPrompt = (token: string): string =>
  `You answer questions about the weather, version ${token}.\n\n${GUIDANCE}`

export const weatherTool = (token: string): string => `
type Arguments = { city: string; unit?: 'celsius' | 'fahrenheit' }
type Reading = { readonly degrees: number; readonly sky: 'clear' | 'cloudy' | 'rain' }

const READINGS: Record<string, Reading> = {
  Paris: { degrees: 18, sky: 'cloudy' },
  Oslo: { degrees: 7, sky: 'rain' },
  Lisbon: { degrees: 24, sky: 'clear' },
}

const inUnit = (degrees: number, unit: Arguments['unit']): string =>
  unit === 'fahrenheit' ? \`\${Math.round(degrees * 1.8 + 32)} °F\` : \`\${degrees} °C\`

export default {
  description: 'The weather in a city',
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string', description: 'Name of the city' },
      unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
    },
    required: ['city'],
    additionalProperties: false,
  },
  execute: ({ city, unit }: Arguments): string => {
    const { degrees, sky } = READINGS[city] ?? { degrees: 15, sky: 'clear' as const }
    return \`\${city}: \${inUnit(degrees, unit)}, \${sky}, version ${token}.\`
  },
}
`

export type Answer = { readonly status: number; readonly text: string }

export async function ask(client: Client, { call }: Pick<Subject, 'call'>): Promise<Answer> {
  const { statusCode, body } = await client.request({
    method: 'POST',
    path: call.path,
    headers: { 'content-type': 'application/json' },
    body: call.body,
  })
  return { status: statusCode, text: await body.text() }
}

import { z } from 'zod'
import { dnsLabel, freeObject, listByName, modelParameters, setOf, text, toolName, withRules } from './common.ts'

/** One key of a Secret of the same namespace. */
export const secretKeyRef = z.strictObject({
  name: z.string().min(1).max(253),
  key: z.string().min(1).max(253),
})
export type SecretKeyRef = z.output<typeof secretKeyRef>

const scriptEntry = withRules(
  z.strictObject({
    match: text(1024).describe('Regular expression on the last user message; the first entry that matches answers'),
    call: z
      .strictObject({ tool: toolName(), arguments: freeObject().default({}) })
      .optional()
      .describe('Calls this tool once before it answers'),
    reply: text(16_384)
      .optional()
      .describe('Answer; {{agent}}, {{message}}, {{result}}, {{instructions}} are filled in'),
  }),
  [
    {
      rule: 'has(self.call) || has(self.reply)',
      message: 'needs a reply, or a call whose result is the reply',
      holds: (entry) => entry.call !== undefined || entry.reply !== undefined,
    },
  ],
)

const modelShape = z.strictObject({
  name: dnsLabel(),
  provider: z.enum(['openai', 'anthropic', 'google', 'openai-compatible', 'scripted']),
  model: text(253).optional().describe("The provider's name of the model"),
  apiKey: z.strictObject({ secretKeyRef }).optional(),
  baseURL: text(2048)
    .regex(/^https?:\/\/[^\s]+$/, 'must be an http or https URL')
    .optional(),
  parameters: modelParameters.default({}),
  script: z.array(scriptEntry).min(1).max(64).optional().describe('Answers of the scripted provider, tried in order'),
})

const model = withRules(modelShape, [
  {
    rule: "self.provider == 'scripted' ? has(self.script) : has(self.model)",
    message: 'provider scripted needs script, every other provider needs model',
    holds: (value) => (value.provider === 'scripted' ? value.script !== undefined : value.model !== undefined),
  },
  {
    rule: "self.provider != 'scripted' || !(has(self.model) || has(self.apiKey) || has(self.baseURL))",
    message: 'provider scripted takes no model, apiKey or baseURL',
    holds: (value) =>
      value.provider !== 'scripted' ||
      (value.model === undefined && value.apiKey === undefined && value.baseURL === undefined),
  },
  {
    rule: "self.provider == 'scripted' || !has(self.script)",
    message: 'script belongs to provider scripted',
    holds: (value) => value.provider === 'scripted' || value.script === undefined,
  },
  {
    rule: "self.provider != 'openai-compatible' || has(self.baseURL)",
    message: 'provider openai-compatible needs baseURL',
    holds: (value) => value.provider !== 'openai-compatible' || value.baseURL !== undefined,
  },
])
export type ModelSpec = z.output<typeof model>
export type ScriptEntry = z.output<typeof scriptEntry>

const PACKAGE = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/

/** What a runtime pod needs to know: the part of an AgentRuntime that compiles to the item `settings`. */
export const settingsSpec = z.strictObject({
  models: listByName(model).default([]),
  bundles: listByName(
    z.strictObject({
      name: dnsLabel(),
      configMap: z.string().min(1).max(253).describe('ConfigMap that holds the files'),
    }),
  )
    .default([])
    .describe('File bundles in the order in which a tool name is looked up'),
  tools: z
    .strictObject({
      timeoutSeconds: z.int().min(1).max(3600).default(30).describe('Longest call of a tool'),
      packages: setOf(z.string().min(1).max(214).regex(PACKAGE, 'must be the name of an npm package'))
        .default([])
        .describe('npm packages of the runtime’s image that tool files may import'),
    })
    .default({ timeoutSeconds: 30, packages: [] }),
})

/** Schema of `AgentRuntime.spec`: the compute that serves the agents of its namespace that name it. */
export const agentRuntimeSpec = settingsSpec

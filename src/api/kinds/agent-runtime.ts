import { z } from 'zod'
import { dnsLabel, freeObject, listByName, modelParameters, setOf, text, toolName, withRules } from './common.ts'
import { MANAGED_FIELDS, MAX_REPLICAS, managedPods, network } from './managed-pods.ts'

/** One key of a Secret of the same namespace. */
export const secretKeyRef = z.strictObject({
  name: z.string().min(1).max(253).describe('Name of the Secret'),
  key: z.string().min(1).max(253).describe('Key of the Secret'),
})
export type SecretKeyRef = z.output<typeof secretKeyRef>

const scriptEntry = withRules(
  z.strictObject({
    match: text(1024).describe('Regular expression on the last user message; the first entry that matches answers'),
    call: z
      .strictObject({
        tool: toolName().describe('Name of the tool'),
        arguments: freeObject().default({}).describe('What it is called with'),
      })
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
  name: dnsLabel().describe('What agents call the model'),
  provider: z
    .enum(['openai', 'anthropic', 'google', 'openai-compatible', 'scripted'])
    .describe('Who serves the model; scripted answers by itself, from script'),
  model: text(253).optional().describe("The provider's name of the model"),
  apiKey: z
    .strictObject({ secretKeyRef: secretKeyRef.describe('Key of a Secret of this namespace') })
    .optional()
    .describe('Key of the provider’s API'),
  baseURL: text(2048)
    .regex(/^https?:\/\/[^\s]+$/, 'must be an http or https URL')
    .optional()
    .describe('Another address of the API; openai-compatible needs it'),
  parameters: modelParameters.default({}).describe('Sampling parameters of every call'),
  script: z
    .array(scriptEntry)
    .min(1)
    .max(64)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'atomic' })
    .describe('Answers of the scripted provider, tried in order'),
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

const bundle = z.strictObject({
  name: dnsLabel().describe('What agents call the bundle, as in bundle/tool'),
  configMap: z.string().min(1).max(253).describe('ConfigMap that holds the files'),
})

const toolSecret = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-zA-Z][a-zA-Z0-9_]*$/, 'must be letters, digits and "_", a letter first')
    .describe('What files call it'),
  secretKeyRef: secretKeyRef.describe('Key of a Secret of this namespace'),
})
export type ToolSecret = z.output<typeof toolSecret>

/** Most memory of a process that runs tool files, unless the AgentRuntime says otherwise. */
export const DEFAULT_TOOL_MEMORY_MIB = 256

/** What pods that the operator runs go by, where the AgentRuntime says nothing of it. */
export const DEFAULT_PROBATION = { seconds: 30, minCalls: 5, maxErrorPercent: 50 } as const

const probation = z.strictObject({
  seconds: z.int().min(0).max(3600).default(DEFAULT_PROBATION.seconds).describe('How long it lasts; 0: there is none'),
  minCalls: z
    .int()
    .min(1)
    .max(1000)
    .default(DEFAULT_PROBATION.minCalls)
    .describe('Calls of the bundle, or of one of its files, before anything is concluded'),
  maxErrorPercent: z
    .int()
    .min(0)
    .max(99)
    .default(DEFAULT_PROBATION.maxErrorPercent)
    .describe('Most of these calls that may fail beyond what failed with the version before'),
})
export type ProbationSpec = z.output<typeof probation>

const IN_ORDER = 'File bundles in the order in which a tool name is looked up'

/** What a runtime pod needs to know: the part of an AgentRuntime that compiles to the item `settings`. */
export const settingsSpec = z.strictObject({
  models: listByName(model).default([]).describe('Models that agents and teams may name'),
  bundles: listByName(
    bundle.extend({
      pushedOnly: z
        .literal(true)
        .optional()
        .describe('It comes by the push alone: a directory that is mounted under its name holds something else'),
    }),
  )
    .default([])
    .describe(IN_ORDER),
  tools: z
    .strictObject({
      timeoutSeconds: z.int().min(1).max(3600).default(30).describe('Longest call of a tool'),
      packages: setOf(z.string().min(1).max(214).regex(PACKAGE, 'must be the name of an npm package'))
        .default([])
        .describe('npm packages of the runtime’s image that tool files may import'),
      secrets: listByName(toolSecret)
        .default([])
        .describe('Keys of Secrets that tool and extension files read as secrets.NAME in their context'),
      isolation: z
        .enum(['process', 'none'])
        .optional()
        .describe(
          'Where tool and extension files run: each bundle in a process of its own, or all in the runtime’s. Default process in pods that the operator runs, none elsewhere',
        ),
      memoryMiB: z
        .int()
        .min(96)
        .max(65_536)
        .default(DEFAULT_TOOL_MEMORY_MIB)
        .describe('Most memory of one such process'),
      probation: probation
        .optional()
        .describe(
          'When a new version of a bundle whose tools or extensions start to fail goes back to the last good one by itself. Default in pods that the operator runs: 30 s, 5 calls, 50 percent; elsewhere there is none',
        ),
    })
    .default({ timeoutSeconds: 30, packages: [], secrets: [], memoryMiB: DEFAULT_TOOL_MEMORY_MIB })
    .describe('How tool files run'),
  network: network.default({ allow: [] }).describe('What URLs of this object may name besides public hosts'),
  dynamicApi: z
    .strictObject({
      enabled: z.boolean().default(false).describe('Whether callers may add and remove agents by AgentOS’s /runtime/*'),
    })
    .default({ enabled: false })
    .describe('AgentOS’s calls that change a pod at run time, of that pod alone'),
})

/** Most labels of one selector. */
const MAX_LABELS = 16
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/

/** Labels that an object must have, each with this value; at least one, so that nothing is selected by accident. */
const matchLabels = withRules(
  z
    .record(text(317), text(63).regex(LABEL_VALUE, 'must be a label value'))
    .refine((labels) => Object.keys(labels).length > 0, { message: 'needs at least one label' })
    .refine((labels) => Object.keys(labels).length <= MAX_LABELS, { message: `has more than ${MAX_LABELS} labels` })
    .meta({ minProperties: 1, maxProperties: MAX_LABELS }),
  [
    {
      rule: `self.all(key, size(key) <= 317 && key.matches('${LABEL_KEY.source.replaceAll('\\/', '/')}'))`,
      message: 'every key must be a label key, such as app or example.com/app',
      holds: (labels) => Object.keys(labels).every((key) => LABEL_KEY.test(key)),
    },
  ],
)

const adopt = z.strictObject({
  selector: z
    .strictObject({ matchLabels: matchLabels.describe('Labels that a pod must have, each with this value') })
    .describe('Pods of this namespace that run a runtime'),
  port: z.int().min(1).max(65_535).default(7778).describe('Port of the management protocol'),
  tokenSecretRef: secretKeyRef.describe('Bearer token of the management protocol'),
  caSecretRef: secretKeyRef
    .optional()
    .describe('CA certificates (PEM) of the pods; without it they are called over HTTP'),
  serverName: text(253)
    .optional()
    .describe('Name in the pods’ certificate; default RUNTIME.NAMESPACE.runtime.midflight'),
})
export type AdoptSpec = z.output<typeof adopt>

const bundleSelector = z.strictObject({
  matchLabels: matchLabels.describe('Labels that a ConfigMap must have, each with this value'),
  allowTools: z
    .boolean()
    .default(false)
    .describe('Whether these ConfigMaps may hold tools and extensions; otherwise prompts only'),
})
export type BundleSelector = z.output<typeof bundleSelector>

const runtimeShape = settingsSpec.extend({
  bundles: listByName(bundle).default([]).describe(IN_ORDER),
  replicas: z.int().min(0).max(MAX_REPLICAS).default(1).describe('How many pods there are'),
  ...managedPods,
  adopt: adopt.optional().describe('Running pods that speak the management protocol, instead of pods of its own'),
  bundleSelector: bundleSelector.optional().describe('ConfigMaps that are bundles because of their labels, by age'),
})

/** Schema of `AgentRuntime.spec`: the compute that serves the agents of its namespace that name it. */
export const agentRuntimeSpec = withRules(runtimeShape, [
  {
    rule: `!has(self.adopt) || (self.replicas == 1 && !(${MANAGED_FIELDS.map((field) => `has(self.${field})`).join(' || ')}))`,
    message: `adopt takes running pods: replicas, ${MANAGED_FIELDS.join(', ')} belong to pods that the operator runs`,
    holds: (spec) =>
      spec.adopt === undefined || (spec.replicas === 1 && MANAGED_FIELDS.every((field) => spec[field] === undefined)),
  },
])
export type AgentRuntimeSpec = z.output<typeof agentRuntimeSpec>

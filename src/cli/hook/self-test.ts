import { API_VERSION, type Kind, RUNNABLE } from '../../api/index.ts'
import { isApiError, type KubeObject } from '../../kube/index.ts'
import { SECRETS, textAt, typeOf } from '../cluster/objects.ts'
import { tookText } from '../cluster/text.ts'
import { FailureError } from '../config.ts'
import { firstKey } from '../files.ts'
import { chooseModel, readiness, SCRIPTED } from './plan.ts'
import { type Address, speak } from './speak.ts'
import { type HookContext, untilFound } from './step.ts'

const FIELD_MANAGER = 'midflight-test'
/** How long an edit may take to be served, in milliseconds: "within seconds". */
const EDIT_MS = 10_000
/** How long it may take to tidy up after a failure, in milliseconds. */
const TIDY_MS = 15_000

export type SelfTest = {
  readonly namespace: string
  /** Of the agent, and of the AgentRuntime where the test makes one. */
  readonly name: string
  /** An AgentRuntime that is there; undefined: the test makes one, and removes it. */
  readonly runtime: string | undefined
  /** `spec.pod` of the one that it makes. */
  readonly pod: object | undefined
  /** Where the runtime answers; undefined: its Service. */
  readonly url: string | undefined
  /** For the runtime to be ready. */
  readonly timeoutMs: number
}

/**
 * Goes the way of a user: applies an agent, talks to it over the runtime's Service, edits it, sees the edit served without
 * a restart, deletes it. What it made it removes, also when it fails.
 * @throws FailureError that says which step failed, what was seen last and where to look
 */
export async function selfTest(test: SelfTest, context: HookContext): Promise<void> {
  await remove(test, context)
  try {
    await exercise(test, context)
  } catch (error) {
    await tidy(test, context)
    throw error
  }
  await remove(test, context)
  context.say('the agent is gone; the test passed')
}

async function exercise(test: SelfTest, context: HookContext): Promise<void> {
  const { namespace, name, timeoutMs } = test
  const runtime = test.runtime ?? name
  if (test.runtime === undefined) await apply('AgentRuntime', test, runtimeSpec(test), context)
  context.say(`waiting for AgentRuntime ${namespace}/${runtime}`)
  const ready = await untilReady('AgentRuntime', { namespace, name: runtime }, timeoutMs, context)
  const model = chooseModel(ready)
  if (model === undefined) {
    const fix = `add to spec.models: ${JSON.stringify(SCRIPTED)}, or test without --runtime`
    throw new FailureError(
      `AgentRuntime ${namespace}/${runtime} has no scripted model that repeats instructions; ${fix}`,
    )
  }
  const address = await addressOf(runtime, test, context)
  const agent = (instructions: string) => ({ runtime, model, instructions })
  context.say(`applying Agent ${namespace}/${name}`)
  await apply('Agent', test, agent('This is the first answer.'), context)
  await untilReady('Agent', { namespace, name }, timeoutMs, context)
  await untilAnswers('This is the first answer.', address, timeoutMs, context)
  context.say(`it answers at ${address.url}; editing it`)
  const edited = context.clock.monotonic()
  await apply('Agent', test, agent('This is the second answer.'), context)
  await untilAnswers('This is the second answer.', address, EDIT_MS, context)
  context.say(`the edit was served in ${tookText(context.clock.monotonic() - edited)}, nothing was restarted`)
}

const runtimeSpec = ({ pod }: SelfTest): object => ({
  drainSeconds: 0,
  models: [SCRIPTED],
  ...(pod === undefined || Object.keys(pod).length === 0 ? {} : { pod }),
})

async function apply(kind: Kind, { namespace, name }: SelfTest, spec: object, { client, signal }: HookContext) {
  const body = { apiVersion: API_VERSION, kind, metadata: { namespace, name }, spec }
  const patch = { type: 'apply', body, fieldManager: FIELD_MANAGER, force: true } as const
  await client.patch(typeOf(kind), { namespace, name }, patch, signal)
}

type Named = { readonly namespace: string; readonly name: string }

function untilReady(kind: Kind, named: Named, timeoutMs: number, context: HookContext): Promise<KubeObject> {
  const { namespace, name } = named
  const what = `that ${kind} ${namespace}/${name} is ready`
  const fix = `look at the log of the operator, and at kubectl describe ${kind.toLowerCase()},pods -n ${namespace}`
  return untilFound(context, { what, timeoutMs, fix }, async () => {
    const object = await context.client.get(typeOf(kind), named, context.signal)
    if (object === undefined) throw new FailureError(`there is no ${kind} ${name} in namespace ${namespace}`)
    const because = readiness(object)
    return because === undefined ? { found: object } : { because }
  })
}

/** The key of callers, where the runtime has one. It is not asked for before the runtime is ready: the operator makes it. */
async function addressOf(runtime: string, { namespace, name, url }: SelfTest, { client, signal }: HookContext) {
  const secret = `${runtime}-runtime-key`
  const found = await client.get(SECRETS, { namespace, name: secret }, signal)
  const encoded = textAt(found, 'data', 'key')
  const base = url ?? `http://${runtime}-runtime.${namespace}.svc:7777`
  return {
    url: `${base}/${RUNNABLE.Agent}/${name}/runs`,
    key: encoded === undefined ? undefined : firstKey(Buffer.from(encoded, 'base64').toString()),
    secret,
  } satisfies Address
}

async function untilAnswers(text: string, address: Address, timeoutMs: number, context: HookContext): Promise<void> {
  const what = `that the agent answers "${text}"`
  const fix = 'see that a NetworkPolicy lets port 7777 through, and look at the log of the runtime'
  await untilFound(context, { what, timeoutMs, fix }, async () => {
    const seen = await speak(address, context.signal)
    if (!('found' in seen) || seen.found === text) return seen
    return { because: `it answered "${seen.found.slice(0, 200)}"` }
  })
}

/** The agent first: then nothing refers to the runtime. */
async function remove(test: SelfTest, context: HookContext): Promise<void> {
  await removeOne('Agent', test, context)
  if (test.runtime === undefined) await removeOne('AgentRuntime', test, context)
}

async function removeOne(kind: Kind, { namespace, name, timeoutMs }: SelfTest, context: HookContext): Promise<void> {
  const { client, signal } = context
  await client.delete(typeOf(kind), { namespace, name }, {}, signal)
  const what = `that ${kind} ${namespace}/${name} is gone`
  await untilFound(context, { what, timeoutMs, fix: 'look at the log of the operator' }, async () => {
    const left = await client.get(typeOf(kind), { namespace, name }, signal)
    return left === undefined ? { found: true } : { because: `it waits for ${left.metadata.finalizers ?? 'nothing'}` }
  })
}

/** What failed is to be told, whatever becomes of tidying up. */
async function tidy(test: SelfTest, context: HookContext): Promise<void> {
  const signal = AbortSignal.timeout(TIDY_MS)
  try {
    await remove({ ...test, timeoutMs: TIDY_MS }, { ...context, signal })
  } catch (error) {
    if (!isApiError(error) && !(error instanceof FailureError) && !signal.aborted) throw error
    context.say(`${test.namespace}/${test.name} could not be removed: delete its Agent and AgentRuntime`)
  }
}

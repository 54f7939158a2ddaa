import { RUNNABLE, type RunnableKind } from '../../api/index.ts'
import { type Clock, sleep, systemClock } from '../../clock.ts'
import { createPortForwarder, isApiError, type KubeClient, type KubeObject } from '../../kube/index.ts'
// Not by way of the index: reading a status does not need what an operator is.
import { parseRuntimeStatus } from '../../operator/report/parse.ts'
import type { Connection } from '../cluster/connect.ts'
import { explain, PODS, SECRETS, textAt, typeOf } from '../cluster/objects.ts'
import { apiPortOf, isAdopting, podsOf, selectorOf, selectorText } from '../cluster/pods.ts'
import { FailureError } from '../config.ts'
import { firstKey } from '../files.ts'
import type { Io } from '../io.ts'
import { choosePod, keySourceOf, runtimeNameOf } from './choose.ts'
import { type ApiAccess, findTarget, type Target } from './client.ts'
import { openDoor } from './door.ts'

export type ReachOptions = {
  /** AgentRuntime; absent: the one that the agent names. */
  readonly runtime?: string | undefined
  /** Of the API, where the user gave one. */
  readonly key: string | undefined
}

export type ReachedAgent = AsyncDisposable & { readonly api: ApiAccess; readonly target: Target }

/**
 * An agent, team or workflow of a cluster, through a port-forward to a pod of its AgentRuntime. When that pod goes away
 * the next call is answered by another one, which is said on stderr.
 * @throws FailureError when there is no such agent or no Ready pod, or its key may not be read
 */
export async function reachInCluster(
  id: string,
  { runtime: named, key: given }: ReachOptions,
  { client, cluster, namespace, signal }: Connection,
  io: Io,
): Promise<ReachedAgent> {
  const asking: Asking = { client, namespace, signal }
  const name = named ?? (await runtimeOfId(id, asking))
  const runtime = await readRuntime(name, asking)
  const route = createRoute(runtime, asking)
  const first = await route.next()
  const key = given ?? (await readApiKey(runtime, asking))
  let told = first.name
  const door = await openDoor({
    forward: createPortForwarder(cluster),
    next: route.nextInTime,
    onMove: (pod) => {
      if (pod === told) return
      io.stderr.write(`(pod ${told} is gone: ${pod} goes on with the same session, and knows of it what is stored)\n`)
      told = pod
    },
    signal,
  })
  const where = `AgentRuntime ${name} in namespace ${namespace}`
  const api = { url: door.url, key, name: where, whenSilent: () => door.trouble ?? '' }
  try {
    return { api, target: await findTarget(api, id), [Symbol.asyncDispose]: () => door[Symbol.asyncDispose]() }
  } catch (error) {
    await door[Symbol.asyncDispose]()
    throw error
  }
}

type Asking = { readonly client: KubeClient; readonly namespace: string; readonly signal: AbortSignal }

const RUNNABLE_KINDS = Object.keys(RUNNABLE) as readonly RunnableKind[]

/** The AgentRuntime that an id's object names: of an agent, else a team, else a workflow. */
async function runtimeOfId(id: string, { client, namespace, signal }: Asking): Promise<string> {
  const [prefix, ...rest] = id.split('/')
  const kinds = rest.length === 0 ? RUNNABLE_KINDS : RUNNABLE_KINDS.filter((kind) => RUNNABLE[kind] === prefix)
  const name = rest.length === 0 ? id : rest.join('/')
  const names: string[] = []
  for (const kind of kinds) {
    const type = typeOf(kind)
    const { items } = await client.list(type, { namespace }, signal).catch((error: unknown) => {
      throw isApiError(error) ? explain(error, type) : error
    })
    const found = items.find(({ metadata }) => metadata.name === name)
    if (found !== undefined) return runtimeNameOf(found)
    names.push(...items.map(({ metadata }) => metadata.name))
  }
  const there = names.length === 0 ? 'there is nothing' : `there are ${[...new Set(names)].sort().join(', ')}`
  throw new FailureError(
    `nothing named "${id}" is in namespace ${namespace}: ${there}; what was added by the API alone needs --runtime`,
  )
}

async function readRuntime(name: string, { client, namespace, signal }: Asking): Promise<KubeObject> {
  const type = typeOf('AgentRuntime')
  const runtime = await client.get(type, { namespace, name }, signal).catch((error: unknown) => {
    throw isApiError(error) ? explain(error, type) : error
  })
  if (runtime === undefined) throw new FailureError(`there is no AgentRuntime ${name} in namespace ${namespace}`)
  return runtime
}

/** @throws FailureError when there is none, or it may not be read */
async function readApiKey(runtime: KubeObject, { client, namespace, signal }: Asking): Promise<string | undefined> {
  const source = keySourceOf(runtime)
  if (source.type === 'none') return undefined
  const { name, key } = source
  const instead = 'give a file with the key by --auth-key-file'
  const secret = await client.get(SECRETS, { namespace, name }, signal).catch((error: unknown) => {
    if (isApiError(error, 403)) throw new FailureError(`you may not read Secret ${name}, which has the key: ${instead}`)
    throw error
  })
  const value = textAt(secret, 'data', key)
  if (value === undefined) throw new FailureError(`Secret ${name} has no "${key}" (yet): ${instead}`)
  return firstKey(Buffer.from(value, 'base64').toString())
}

export type NextPod = { readonly namespace: string; readonly name: string; readonly port: number }

/** How long another pod is waited for when the one that was talked to is gone. */
const PATIENCE_MS = 15_000
const PAUSE_MS = 500

/** Which pod of an AgentRuntime is talked to. */
function createRoute(runtime: KubeObject, { client, namespace, signal }: Asking, clock: Clock = systemClock) {
  let before: string | undefined
  const labelSelector = selectorText(selectorOf(runtime))
  const { name } = runtime.metadata

  const next = async (): Promise<NextPod> => {
    const { items } = await client.list(PODS, { namespace, labelSelector }, signal).catch((error: unknown) => {
      throw isApiError(error) ? explain(error, PODS) : error
    })
    const told = parseRuntimeStatus(runtime.status)?.pods ?? []
    const choice = choosePod(podsOf(runtime, items), told, before)
    if (choice.type === 'none') throw new FailureError(`no pod of AgentRuntime ${name} is Ready: ${choice.why}${hint}`)
    before = choice.pod.metadata.uid
    return { namespace, name: choice.pod.metadata.name, port: apiPortOf(choice.pod) }
  }
  const hint = isAdopting(runtime) ? ` (labels ${labelSelector})` : `; midflight status -n ${namespace} tells more`

  return {
    next,
    nextInTime: async (): Promise<NextPod> => {
      const end = clock.monotonic() + PATIENCE_MS
      for (;;) {
        try {
          return await next()
        } catch (error) {
          if (!(error instanceof FailureError) || clock.monotonic() > end) throw error
          await sleep(clock, PAUSE_MS, signal)
        }
      }
    },
  }
}

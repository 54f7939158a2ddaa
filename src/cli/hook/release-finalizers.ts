import pLimit from 'p-limit'
import type { Kind } from '../../api/index.ts'
import { isApiError, type KubeObject, writeFinalizer } from '../../kube/index.ts'
import { FINALIZER } from '../../operator/index.ts'
import { KIND_NAMES, PODS, textAt, typeOf } from '../cluster/objects.ts'
import { FailureError } from '../config.ts'
import { plural } from '../io.ts'
import { type HookContext, type Look, untilFound } from './step.ts'

/** Writes at once. */
const PARALLEL = 8

export type Release = {
  /** The operator to stop before; undefined when it is gone already. */
  readonly operator: { readonly namespace: string; readonly deployment: string } | undefined
  /** Empty: all. */
  readonly namespaces: readonly string[]
  readonly timeoutMs: number
}

/**
 * Stops the operator, waits until its pods are gone, and takes its finalizer off everything of the four kinds: what is
 * deleted afterwards is gone at once. Pods of runtimes stay, and go on serving. Repeatable.
 * @throws FailureError when pods of the operator do not end in time, or the API server refuses it
 */
export async function releaseFinalizers(release: Release, context: HookContext): Promise<void> {
  if (release.operator !== undefined) await stopOperator(release.operator, release.timeoutMs, context)
  let released = 0
  for (const kind of KIND_NAMES)
    for (const namespace of release.namespaces.length === 0 ? [undefined] : release.namespaces)
      released += await releaseKind(kind, namespace, release.timeoutMs, context)
  context.say(`${plural(released, 'object')} released; runtimes go on serving what they hold`)
}

async function stopOperator(
  { namespace, deployment }: NonNullable<Release['operator']>,
  timeoutMs: number,
  context: HookContext,
): Promise<void> {
  const { client, say, signal } = context
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}/scale`
  const named = `Deployment ${namespace}/${deployment}`
  let scale: unknown
  try {
    const body = { spec: { replicas: 0 } }
    const contentType = 'application/merge-patch+json'
    scale = await client.request({ method: 'PATCH', path, body, contentType, repeatable: true }, signal)
  } catch (error) {
    if (isApiError(error, 404)) return say(`${named} is not there: there is no operator to stop`)
    if (isApiError(error)) throw new FailureError(`${named} cannot be scaled to 0: ${error.message}`)
    throw error
  }
  say(`${named}: scaled to 0, waiting until its pods are gone`)
  const labelSelector = textAt(scale, 'status', 'selector')
  if (labelSelector === undefined) throw new FailureError(`${named} does not say which pods are its own`)
  const what = 'that the pods of the operator are gone'
  const fix = 'delete them by kubectl delete pod --force, and uninstall again'
  await untilFound(context, { what, timeoutMs, fix }, () => podsGone(namespace, labelSelector, context))
}

async function podsGone(
  namespace: string,
  labelSelector: string,
  { client, signal }: HookContext,
): Promise<Look<true>> {
  const { items } = await client.list(PODS, { namespace, labelSelector, metadataOnly: true }, signal)
  const left = items.map(({ metadata }) => metadata.name)
  return left.length === 0 ? { found: true } : { because: `${left.join(', ')} of ${namespace} still run` }
}

/** @returns how many were released */
async function releaseKind(
  kind: Kind,
  namespace: string | undefined,
  timeoutMs: number,
  context: HookContext,
): Promise<number> {
  let released = 0
  const what = `that every ${kind} is released`
  const step = { what, timeoutMs, fix: 'something else writes these objects: see that no operator runs, and repeat' }
  await untilFound(context, step, async () => {
    const held = await heldObjects(kind, namespace, context)
    if (held.length === 0) return { found: true }
    const before = released
    released += await releaseAll(kind, held, context)
    if (released > before) context.say(`${kind}: ${released} released`)
    return { because: `${plural(held.length, 'object')} had changed meanwhile` }
  })
  return released
}

async function heldObjects(
  kind: Kind,
  namespace: string | undefined,
  { client, say, signal }: HookContext,
): Promise<readonly KubeObject[]> {
  try {
    const { items } = await client.list(typeOf(kind), { namespace, metadataOnly: true }, signal)
    return items.filter(({ metadata }) => metadata.finalizers?.includes(FINALIZER))
  } catch (error) {
    if (isApiError(error, 404)) {
      say(`${kind}: the API server does not know this kind, so there is nothing to release`)
      return []
    }
    // Rights in a namespace go with it.
    if (isApiError(error, 403) && namespace !== undefined) {
      say(`${kind}: passed over in namespace ${namespace}, which is gone or forbidden: ${error.message}`)
      return []
    }
    if (isApiError(error, 403)) throw new FailureError(`${kind}: ${error.message}`)
    throw error
  }
}

/** @returns how many were written */
async function releaseAll(kind: Kind, held: readonly KubeObject[], { client, signal }: HookContext): Promise<number> {
  const limit = pLimit(PARALLEL)
  const results = await limit.map(held, (object) =>
    writeFinalizer(client, { type: typeOf(kind), object, finalizer: FINALIZER, wanted: 'absent' }, signal),
  )
  return results.filter(({ type }) => type === 'written').length
}

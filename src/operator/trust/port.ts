import type { Problem } from '../../api/index.ts'
import type { KubeClient } from '../../kube/index.ts'
import type { KubeObject, ObjectName } from '../../kube/types.ts'

/** What trust reads and writes with. Writes only while this operator leads. */
export type TrustClient = Pick<KubeClient, 'get' | 'create' | 'patch'>

/** A pod as trust sees it: ids of the tokens that it says it accepts; undefined while it has told none. */
export type PodCredentials = { readonly tokenIds: readonly string[] | undefined }

export type TrustRequest = {
  /** The AgentRuntime, which has no `adopt`: the Secrets' owner. */
  readonly runtime: KubeObject
  /** Who may call port 7777; only for `key` there is a Secret with one. */
  readonly auth: 'key' | 'none'
  /** Every pod of it that is there and not on its way out, whether it answers or not. */
  readonly pods: readonly PodCredentials[]
}

export type TrustOutcome =
  /** The Secrets are there and as they should be: pods may be started. Look again after so long, in milliseconds. */
  | { readonly type: 'ready'; readonly lookAgainMs: number }
  /** Not known yet; `onChange` is called when it is. */
  | { readonly type: 'loading' }
  /** A person has to mend something; nothing was written. Pods that are connected stay so. Look again as above. */
  | { readonly type: 'problem'; readonly problem: Problem; readonly lookAgainMs: number }

/**
 * Tokens of a pod, the one to use first; the others are for when that one is refused.
 * @param accepted ids of the tokens that the pod said it accepts; undefined while it has told none
 */
export type TokenChoice = (accepted: readonly string[] | undefined) => readonly string[]

/** What it takes to call the pods of an AgentRuntime. */
export type TrustAccess =
  /** `ca`: all certificate authorities that are trusted, in PEM, newest first. */
  | { readonly type: 'known'; readonly ca: string; readonly serverName: string; readonly tokens: TokenChoice }
  | { readonly type: 'loading' }
  | { readonly type: 'problem'; readonly problem: Problem }

/** The trust between the operator and the pods that it runs. Only for the operator that leads. */
export interface Trust {
  /**
   * Brings the Secrets of an AgentRuntime to what they should be, a step of a rotation at a time. Call it before its
   * Deployment is written, whenever `onChange` says so, and when a pod's credentials change.
   * @throws ApiError when the API server does not take it: try again
   */
  reconcile(request: TrustRequest, signal: AbortSignal): Promise<TrustOutcome>
  /** As it is now. `loading` also before the first `reconcile`. */
  access(runtime: ObjectName): TrustAccess
  /** The AgentRuntime is gone, or has no pods of its own any more. */
  forget(runtime: ObjectName): void
}

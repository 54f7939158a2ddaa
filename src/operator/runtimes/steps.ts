import type { Problem } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { APPLIED, type Intent } from './children.ts'
import { covers } from './compare.ts'
import { controllerOf, isOwnedBy } from './owned.ts'

/** What is to be done about one object. */
export type Step =
  | { readonly type: 'none' }
  /** `uid`: of the object that is changed; absent: there is none by that name. */
  | { readonly type: 'apply'; readonly object: KubeObject; readonly uid?: string | undefined }
  | { readonly type: 'delete'; readonly uid: string }
  /** Something else has its name. */
  | { readonly type: 'blocked'; readonly problem: Problem }

const NONE: Step = { type: 'none' }

/**
 * @param live the object of that name, whoever's it is
 * @param owner the AgentRuntime
 */
export function stepOf(
  intent: Intent,
  live: KubeObject | undefined,
  owner: { readonly name: string; readonly uid: string },
): Step {
  switch (intent.type) {
    case 'keep':
      return NONE
    case 'delete':
      return live?.metadata.uid === undefined || isGoing(live) || !isOwnedBy(live, owner)
        ? NONE
        : { type: 'delete', uid: live.metadata.uid }
    case 'apply':
      if (live === undefined) return { type: 'apply', object: intent.object }
      // Of an AgentRuntime of that name that is gone: the cluster is about to delete it.
      if (isLeftBehind(live, owner)) return NONE
      if (!isOwnedBy(live, owner)) return { type: 'blocked', problem: nameTaken(live) }
      // It is made anew when it is gone.
      if (isGoing(live) || isAsWanted(live, intent.object)) return NONE
      return { type: 'apply', object: intent.object, uid: live.metadata.uid }
  }
}

function isLeftBehind(live: KubeObject, { name, uid }: { readonly name: string; readonly uid: string }): boolean {
  const controller = controllerOf(live)
  return controller?.kind === 'AgentRuntime' && controller.name === name && controller.uid !== uid
}

const isGoing = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp !== undefined

/** Whether an object is what was applied last, and that is what is wanted. */
export function isAsWanted(live: KubeObject, wanted: KubeObject): boolean {
  const applied = wanted.metadata.annotations?.[APPLIED]
  return live.metadata.annotations?.[APPLIED] === applied && covers(live, wanted)
}

function nameTaken(live: KubeObject): Problem {
  const { kind, metadata } = live
  const owner = controllerOf(live)
  const whose = owner === undefined ? 'not made by this operator' : `that of ${owner.kind} "${owner.name}"`
  const message = `${kind} "${metadata.name}" is there already, and it is ${whose}: delete it, or give this AgentRuntime another name`
  return { reason: 'NameTaken', message }
}

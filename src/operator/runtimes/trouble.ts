import type { Problem } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'

// What Kubernetes itself says of pods that do not come up. Nothing in the messages counts or moves with time: a status
// is not written again while the same thing goes on.

/** Why a pod does not come up; undefined while nothing speaks against it. */
export function podTrouble({ metadata, status }: KubeObject): Problem | undefined {
  const { conditions, containerStatuses } = recordOf(status)
  const pod = `pod ${metadata.name}`
  const scheduled = conditionOf(conditions, 'PodScheduled')
  if (scheduled?.status === 'False')
    return { reason: 'PodsUnschedulable', message: `${pod} has no node: ${textOf(scheduled.message)}` }
  for (const container of listOf(containerStatuses)) {
    const trouble = containerTrouble(recordOf(container), pod)
    if (trouble) return trouble
  }
  return undefined
}

const PULL_REASONS: ReadonlySet<unknown> = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'RegistryUnavailable',
  'ImageInspectError',
])
const CREATE_REASONS: ReadonlySet<unknown> = new Set([
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
])

function containerTrouble(container: Fields, pod: string): Problem | undefined {
  const waiting = recordOf(recordOf(container.state).waiting)
  const { reason, message } = waiting
  if (PULL_REASONS.has(reason)) {
    const cause = reason === 'ImagePullBackOff' ? '' : `; ${textOf(message)}`
    return {
      reason: 'ImagePullFailed',
      message: `${pod}: image "${textOf(container.image)}" cannot be pulled (${textOf(reason)}): check spec.image and spec.pod.imagePullSecrets${cause}`,
    }
  }
  if (CREATE_REASONS.has(reason))
    return { reason: 'PodsCrashing', message: `${pod}: its container cannot be started: ${textOf(message)}` }
  if (reason !== 'CrashLoopBackOff') return undefined
  const ended = recordOf(recordOf(container.lastState).terminated)
  const code = typeof ended.exitCode === 'number' ? `exit code ${ended.exitCode}` : 'an unknown exit code'
  const why =
    ended.reason === 'OOMKilled'
      ? `OOMKilled, ${code}: raise spec.resources.limits.memory`
      : `${textOf(ended.reason)}, ${code}`
  return { reason: 'PodsCrashing', message: `${pod}: its container ends again and again (${why}); its log says more` }
}

/** Why a Deployment gets no further, as it says itself; undefined while it does. */
export function deploymentTrouble({ metadata, status }: KubeObject): Problem | undefined {
  const { conditions } = recordOf(status)
  const failure = conditionOf(conditions, 'ReplicaFailure')
  if (failure?.status === 'True')
    return {
      reason: 'PodsNotCreated',
      message: `Deployment "${metadata.name}" cannot create its pods: ${textOf(failure.message)}`,
    }
  const progress = conditionOf(conditions, 'Progressing')
  if (progress?.status !== 'False' || progress.reason !== 'ProgressDeadlineExceeded') return undefined
  return {
    reason: 'RolloutStuck',
    message: `new pods of Deployment "${metadata.name}" do not become Ready; pods that serve go on serving`,
  }
}

type Fields = Readonly<Record<string, unknown>>

const conditionOf = (conditions: unknown, type: string): Fields | undefined =>
  listOf(conditions)
    .map(recordOf)
    .find((each) => each.type === type)

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const recordOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {})

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
